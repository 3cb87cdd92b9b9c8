"""The map of modules in the README names every module, each once, and none that is not there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def _named(package: str) -> Counter[str]:
    """Read the first cells of a package's table; a folder is named with a slash at its end."""
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition(f"\n| {package}/ | |\n")[2].partition("\n\n")[0]
    first_cells = (line.split("|")[1] for line in table.splitlines()[1:])
    return Counter(name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell))


@pytest.mark.parametrize("package", ["edge", "cloud", "shared"])
def test_the_map_is_the_tree(package):
    files = {path.stem for path in (_ROOT / package).glob("[!_]*.py")}
    folders = {f"{path.parent.name}/" for path in (_ROOT / package).glob("*/__init__.py")}
    assert _named(package) == Counter(files | folders)

"""The map of modules in the README names every module, each once, and none that is not there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_TOLD_AS_A_WHOLE = "ui/"


def _named(package: str) -> Counter[str]:
    """Read the first cells of a package's table; a row in bold begins a folder."""
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition(f"\n| {package}/ | |\n")[2].partition("\n\n")[0]
    folder, found = "", Counter[str]()
    for row in table.splitlines()[1:]:
        cell = row.split("|")[1]
        if begins := re.search(r"\*\*([a-z_]+/)\*\*", cell):
            folder = begins[1]
            found[folder] += 1
        found.update(folder + name for name in re.findall(r"`([^`]+)`", cell))
    return found


@pytest.mark.parametrize("package", ["edge", "cloud", "shared"])
def test_the_map_is_the_tree(package):
    root = _ROOT / package
    folders = {f"{path.parent.name}/" for path in root.glob("*/__init__.py")}
    modules = {str(path.relative_to(root).with_suffix("")) for path in root.rglob("[!_]*.py")}
    told = {name for name in modules if not name.startswith(_TOLD_AS_A_WHOLE)}
    assert _named(package) == Counter(told | folders)

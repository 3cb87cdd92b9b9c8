from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.services import Running, running_cloud, running_edge


@dataclass(frozen=True, kw_only=True)
class Pair:
    edge: Running
    cloud: Running
    root: Path

    def named(self, name: str) -> Running:
        return {"edge": self.edge, "cloud": self.cloud}[name]


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Pair]:
    """Run both services once for all contract tests; none of them may change what the others see."""
    folder = tmp_path_factory.mktemp("pair")
    root = folder / "pictures"
    root.mkdir()
    cloud_sections = {"image_roots": [root], "limits": {"max_bytes": 500_000}}
    edge_sections = {
        "limits": {"max_batch": 4, "max_bytes": 500_000, "max_pixels": 4_000_000},
        "policy": {"daily_limit": 1_000_000},
    }
    with (
        running_cloud(folder / "cloud", models, **cloud_sections) as cloud,
        running_edge(folder / "edge", models, cloud.url, **edge_sections) as edge,
    ):
        yield Pair(edge=edge, cloud=cloud, root=root)

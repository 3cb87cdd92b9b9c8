from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.services import Running, running_cloud, running_edge


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Running]:
    """Run one edge for all tests that only send it something hostile."""
    with running_edge(tmp_path_factory.mktemp("edge"), models) as running:
        yield running


@pytest.fixture(scope="session")
def picture_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the one folder that the cloud may read pictures from."""
    return tmp_path_factory.mktemp("allowed")


@pytest.fixture(scope="session")
def cloud(
    tmp_path_factory: pytest.TempPathFactory, models: Path, picture_root: Path
) -> Iterator[Running]:
    """Run one cloud for all tests that only send it something hostile."""
    folder = tmp_path_factory.mktemp("cloud")
    with running_cloud(folder, models, image_roots=[picture_root]) as running:
        yield running

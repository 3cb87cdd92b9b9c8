from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from shared.logs import configure_logs
from shared.startup import prepare_libraries
from tests.helpers.tiny_models import write_classifier, write_detector

# A deadline per example measures the machine that the tests share, not the code.
hypothesis.settings.register_profile(
    "shared-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared-machine")
prepare_libraries()  # OpenCV reads its limits once, when it is loaded

_MEMORY = Path("/dev/shm")  # noqa: S108 # pytest makes a folder of its own in it
# The tests together need a tenth of it; below a gigabyte the product says that its disk is low.
_ROOM_BYTES = 3 << 30


def pytest_configure() -> None:
    """Let programs be interrupted, and put the folders of tests into memory where that has room.

    Each of hundreds of services makes ten databases. Nothing is proven about a disk there; tests about disks mount
    their own.
    """
    # A shell that runs us in the background has Ctrl-C ignored, also by each program that a test starts and interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK):
        disk = os.statvfs(_MEMORY)
        has_room = disk.f_bavail * disk.f_frsize >= _ROOM_BYTES
        if has_room and not disk.f_flag & os.ST_NOEXEC:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.hookimpl(trylast=True)  # after the tests were shuffled
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what waits longest, so that processes that share the tests end together."""
    order = ("e2e", "fault", "integration", "security", "contract", "unit")
    items.sort(key=lambda item: order.index(item.path.parent.name))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with tiny real artifacts; no test writes into it."""
    folder = tmp_path_factory.mktemp("models")
    write_classifier(folder)
    write_detector(folder)
    return folder


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Catch the lines of the log, whatever a test before this one did with it."""
    stream = io.StringIO()
    configure_logs(level="debug", pretty=False, stream=stream)
    yield stream
    structlog.reset_defaults()

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.browser import Browser, chromium


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Start one browser for all tests of pages; each sheet of it has cookies of its own."""
    with chromium() as found:
        yield found

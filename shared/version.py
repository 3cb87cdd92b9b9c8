"""Which version of the product runs. Ring: adapter (package metadata)."""

from __future__ import annotations

import functools
import importlib.metadata
import os


@functools.cache
def version() -> str:
    """Tell the installed version; `0.0.0` in a checkout that was not installed."""
    try:
        return importlib.metadata.version("emberlink")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0"


@functools.cache
def commit() -> str:
    """Tell the commit, as whoever built an image set it in EMBERLINK_COMMIT; a wheel does not know its commit."""
    return os.environ.get("EMBERLINK_COMMIT", "unknown")

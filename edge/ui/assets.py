"""The console's own files: stylesheet, scripts, icons; compressed once, named by their hash. Ring: rim."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("static")
VENDOR_MANIFEST = FOLDER / "vendor" / "manifest.json"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file as it goes over the wire; `tag` is the beginning of its SHA-256."""

    content_type: str
    plain: bytes
    packed: bytes
    tag: str


def load_assets() -> Mapping[str, Asset]:
    """Read every file that a page may ask for, by its path under `static/`."""
    found = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in _TYPES:
            plain = path.read_bytes()
            found[path.relative_to(FOLDER).as_posix()] = Asset(
                content_type=_TYPES[path.suffix],
                plain=plain,
                packed=gzip.compress(plain, 9, mtime=0),
                tag=hashlib.sha256(plain).hexdigest()[:12],
            )
    return found


def vendored() -> list[dict[str, Any]]:
    """Tell which files are not ours: name, version, licence, where they come from, SHA-256."""
    entries: list[dict[str, Any]] = json.loads(VENDOR_MANIFEST.read_text(encoding="utf-8"))
    return entries

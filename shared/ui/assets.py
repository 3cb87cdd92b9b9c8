"""A console's own files: stylesheet, scripts, icons; compressed once, named by their hash. Ring: rim."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Blueprint, Flask, Response

from shared.error_code import ErrorCode
from shared.errors import FireError
from shared.ui.packing import takes_gzip

SHARED = Path(__file__).with_name("static")
"""What every console shows."""

URL = "/ui/static/"
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


def load_assets(folders: Sequence[Path]) -> Mapping[str, Asset]:
    """Read every file that a page may ask for, by its path under its folder."""
    found = {}
    for folder, path in ((f, p) for f in folders for p in sorted(f.rglob("*"))):
        if path.suffix in _TYPES:
            plain = path.read_bytes()
            found[path.relative_to(folder).as_posix()] = Asset(
                content_type=_TYPES[path.suffix],
                plain=plain,
                packed=gzip.compress(plain, 9, mtime=0),
                tag=hashlib.sha256(plain).hexdigest()[:12],
            )
    return found


def add_assets(app: Flask, console: Blueprint, folders: Sequence[Path]) -> None:
    """Serve the files at `/ui/static/`, and give templates `asset(name)` for their addresses."""
    assets = load_assets(folders)
    app.jinja_env.globals["asset"] = lambda name: f"{URL}{name}?v={assets[name].tag}"

    @console.get(f"{URL}<path:name>")
    def asset(name: str) -> Response:
        found = assets.get(name)
        if found is None:
            raise FireError(ErrorCode.HTTP_NOT_FOUND, "no such file")
        is_packed = takes_gzip()
        body = found.packed if is_packed else found.plain
        response = Response(body, content_type=found.content_type)
        if is_packed:
            response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.set_etag(found.tag)
        return response


def vendored(folder: Path) -> list[dict[str, Any]]:
    """Tell which files are not ours: name, version, licence, where they come from, SHA-256."""
    manifest = folder / "vendor" / "manifest.json"
    entries: list[dict[str, Any]] = json.loads(manifest.read_text(encoding="utf-8"))
    return entries

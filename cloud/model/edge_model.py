"""The newest classifier for the edges, as this service hands it out. Ring: adapter (disk)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from shared.error_code import ErrorCode
from shared.errors import ModelError, RequestError
from shared.model.manifest import (
    MANIFEST_NAME,
    Manifest,
    newest_version,
    parse_manifest,
    verified_bytes,
)

_NAME = "edge-classifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Bytes and their SHA-256 in hex."""

    content: bytes
    sha256: str


class EdgeModelShelf:
    """Reads the folder of artifacts at each request: a version that is put there is offered at once."""

    def __init__(self, models: Path) -> None:
        """Keep the folder."""
        self._models = models

    def manifest(self) -> Document:
        """Give the manifest of the newest version, as it is on disk.

        Raises:
            ModelError(MODEL_NOT_READY): there is none.
            ModelError(MODEL_REFUSED): it is not a manifest.
        """
        _, content, _ = self._newest()
        return Document(content=content, sha256=hashlib.sha256(content).hexdigest())

    def file(self, sha256: str) -> Document:
        """Give a file that the newest version lists, by its hash, verified.

        Raises:
            RequestError(HTTP_NOT_FOUND): the newest version lists no such file.
            ModelError(MODEL_NOT_READY, MODEL_REFUSED): see `manifest`; or the file is not what its manifest says.
        """
        folder, _, manifest = self._newest()
        for entry in manifest.files.values():
            if entry.sha256 == sha256:
                content = verified_bytes(folder / entry.path, sha256, entry.bytes)
                return Document(content=content, sha256=sha256)
        for test in manifest.selftest:
            if test.sha256 == sha256:
                return Document(content=verified_bytes(folder / test.file, sha256), sha256=sha256)
        detail = f"{_NAME} {manifest.version} lists no file {sha256[:12]!r}"
        raise RequestError(ErrorCode.HTTP_NOT_FOUND, detail)

    def _newest(self) -> tuple[Path, bytes, Manifest]:
        folder = newest_version([self._models], _NAME)
        path = folder / MANIFEST_NAME
        try:
            content = path.read_bytes()
        except OSError as err:
            raise ModelError(ErrorCode.MODEL_REFUSED, f"{path}: {err.strerror}") from err
        return folder, content, parse_manifest(content, str(path))

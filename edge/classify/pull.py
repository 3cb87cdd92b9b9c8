"""Fetching a newer classifier from the cloud: a manifest, then the files it lists, by hash. Ring: adapter (network).

What comes is hostile until its hash was compared: bounded bytes, bounded time, no redirects, nothing parsed but a
manifest. A version that is complete appears in the folder under its own name; until then it lies beside.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from shared.access.auth import Signer
from shared.error_code import ErrorCode
from shared.errors import LinkError, ModelError, StoreError
from shared.model.manifest import (
    MANIFEST_NAME,
    MAX_SELF_TEST_BYTES,
    Artifact,
    Manifest,
    load_version,
    parse_manifest,
    version_order,
)
from shared.web.socket_deadline import DeadlineAdapter, SocketDeadlines

_MAX_MANIFEST_BYTES = 256 * 1024  # ours have 8 kB
_MAX_FILE_BYTES = 64 * 1024 * 1024  # ours have 6 MB; more does not belong on a box
_LONGEST_FILE_S = 300.0  # 6 MB over a link of 20 kB/s
_CHUNK_BYTES = 65_536
_INCOMING = ".incoming"
_KEPT_VERSIONS = 2  # the one in use and the one before, to go back by hand


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which classifier, and which of its files."""

    name: str
    variant: str


class ModelPull:
    """Asks one cloud; one pull at a time."""

    def __init__(self, url: str, wanted: Wanted, folder: Path, signer: Signer | None) -> None:
        """Keep where from and where to; nothing is sent yet."""
        self._url = url
        self._wanted = wanted
        self._folder = folder
        self._signer = signer
        self._seen = ""
        self._deadlines = SocketDeadlines()
        self._session = requests.Session()
        self._session.trust_env = False
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, DeadlineAdapter(pool_connections=1, pool_maxsize=1))

    def fetch(self, running_version: str, *, even_if_seen: bool = False) -> Artifact | None:
        """Fetch the cloud's version when it is newer than the running one, and verify it; None when it is not.

        Args:
            running_version: of the model in use.
            even_if_seen: look also at a version that was seen before, and was taken or refused then.

        Raises:
            LinkError: the cloud cannot be asked, or does not answer as it should.
            ModelError(MODEL_REFUSED): what came is not what its manifest says.
            StoreError(STORE_UNAVAILABLE): the disk does not take it.
        """
        etag = "" if even_if_seen else self._seen
        content = self._get("/models/edge/latest", _MAX_MANIFEST_BYTES, etag=etag)
        if content is None:
            return None
        manifest = parse_manifest(content, f"{self._url}/models/edge/latest")
        is_newer = version_order(manifest.version) > version_order(running_version)
        if is_newer:
            self._fetch_files(manifest, content)
        self._seen = hashlib.sha256(content).hexdigest()
        if not is_newer:
            return None
        wanted, folder = self._wanted, self._incoming(manifest.version)
        return load_version(folder, wanted.name, kind="classifier", variant=wanted.variant)

    def keep(self, version: str) -> None:
        """Put a fetched version, which was tried, where the next start finds it; older ones go.

        Raises:
            StoreError(STORE_UNAVAILABLE)
        """
        place = self._folder / self._wanted.name / version
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(place, ignore_errors=True)
            os.replace(self._incoming(version), place)
        except OSError as err:
            raise StoreError(ErrorCode.STORE_UNAVAILABLE, f"{place}: {err}") from err
        versions = sorted(place.parent.iterdir(), key=lambda p: version_order(p.name))
        for old in versions[:-_KEPT_VERSIONS]:
            shutil.rmtree(old, ignore_errors=True)

    def close(self) -> None:
        """Close pooled sockets."""
        self._session.close()
        self._deadlines.stop()

    def _incoming(self, version: str) -> Path:
        return self._folder / _INCOMING / self._wanted.name / version

    def _fetch_files(self, manifest: Manifest, content: bytes) -> None:
        entry = manifest.files.get(self._wanted.variant)
        if entry is None or entry.bytes > _MAX_FILE_BYTES:
            detail = f"{manifest.name} {manifest.version} has no usable file {self._wanted.variant}"
            raise ModelError(ErrorCode.MODEL_REFUSED, detail)
        files = [(entry.path, entry.sha256, entry.bytes)]
        files += [(test.file, test.sha256, MAX_SELF_TEST_BYTES) for test in manifest.selftest]
        incoming = self._incoming(manifest.version)
        try:
            shutil.rmtree(self._folder / _INCOMING, ignore_errors=True)
            for path, sha256, most_bytes in files:
                _write(incoming / path, self._file(sha256, most_bytes))
            _write(incoming / MANIFEST_NAME, content)
        except OSError as err:
            raise StoreError(ErrorCode.STORE_UNAVAILABLE, f"{incoming}: {err}") from err

    def _file(self, sha256: str, most_bytes: int) -> bytes:
        content = self._get(f"/models/edge/files/{sha256}", most_bytes)
        if content is None or hashlib.sha256(content).hexdigest() != sha256:
            raise ModelError(ErrorCode.MODEL_REFUSED, f"file {sha256[:12]}… came with another hash")
        return content

    def _get(self, path: str, most_bytes: int, *, etag: str = "") -> bytes | None:
        """Fetch one document; None is 304."""
        url = self._url + path
        headers = {
            "Accept-Encoding": "identity",
            **({"If-None-Match": f'"{etag}"'} if etag else {}),
        }
        if self._signer:
            headers |= self._signer.headers("GET", urlsplit(url).path, "", b"")
        with self._deadlines.call(_LONGEST_FILE_S):
            try:
                with self._session.get(
                    url, headers=headers, timeout=30, stream=True, allow_redirects=False
                ) as response:
                    if response.status_code == 304 and etag:
                        return None
                    _check(response)
                    return _read_bounded(response, most_bytes)
            except (requests.RequestException, HTTPError, OSError) as err:
                detail = f"{path}: {type(err).__name__}"
                raise LinkError(ErrorCode.CLOUD_UNREACHABLE, detail) from err


def _check(response: requests.Response) -> None:
    if response.status_code != 200:
        detail = f"HTTP {response.status_code} for a model"
        raise LinkError(ErrorCode.CLOUD_REFUSED, detail)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise LinkError(ErrorCode.CLOUD_BAD_ANSWER, "the model came compressed")


def _read_bounded(response: requests.Response, most_bytes: int) -> bytes:
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > most_bytes:
            raise LinkError(
                ErrorCode.CLOUD_BAD_ANSWER, f"the answer is longer than {most_bytes} bytes"
            )
    return bytes(body)


def _write(path: Path, content: bytes) -> None:
    """Write and sync, so that a version that is there after a power cut is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

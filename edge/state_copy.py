"""A box's state as one file, taken beside the running service, and put back. Ring: adapter (disk, tar, SQLite).

Databases are copied with SQLite's online backup. The evidence's own comes last: its copy lists the pictures that belong
to it, and each of them is in the file, so that what is restored verifies.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO

from edge.archive import DATABASE, PICTURES, Archive
from edge.verification import verify
from shared.blobs import Blobs
from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.startup import hold_folder

_LIST = "manifest.json"
_EVIDENCE = "evidence"
_SUFFIX = ".sqlite3"
_NOT_COPIED = frozenset({"lock"})
_PASSING = ("-wal", "-shm", "-journal", ".part")  # parts of an open database, half-written files
_ROUNDS = 5  # a picture that is pruned while it is copied costs a round
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a box keeps what must survive: its state folder, and its evidence where that lies elsewhere."""

    state: Path
    evidence: Path


def back_up(places: Places, target: Path, now_at: datetime) -> Path:
    """Write everything into a new file in a folder, and give its path.

    Raises:
        StoreError(STORE_UNAVAILABLE): something cannot be read, or the folder cannot be written.
    """
    path = target / f"emberlink-edge-{now_at:%Y%m%dT%H%M%SZ}.tar"
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target) as work:
            part = Path(work) / "state.part"
            # It holds keys and names of users.
            descriptor = os.open(part, os.O_CREAT | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                with tarfile.open(fileobj=file, mode="w") as tar:
                    _Writer(tar, Path(work)).add_all(places)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
    except (OSError, sqlite3.Error) as err:
        remedy = "Name a folder that you may write, with room; `evidence verify` tells whether the state is damaged."
        detail = f"backup to {target}: {err}"
        raise StoreError(ErrorCode.STORE_UNAVAILABLE, detail, remedy=remedy) from err
    return path


def restore(file: Path, places: Places, now_at: datetime) -> list[Path]:
    """Put a backup back, checked file by file, and give where the state that was there lies now.

    Raises:
        StoreError(BACKUP_DAMAGED): the file is cut, changed, or no backup; nothing was touched.
        StoreError(STORE_UNAVAILABLE): the service runs, or the disk cannot be written.
    """
    with hold_folder(places.state):
        try:
            with tempfile.TemporaryDirectory(dir=places.state.parent) as work:
                fresh = Path(work) / "state"
                _unpack(file, fresh)
                _check_evidence(fresh / _EVIDENCE)
                return _swap(fresh, places, now_at)
        except (tarfile.TarError, KeyError, ValueError, EOFError) as err:
            raise StoreError(ErrorCode.BACKUP_DAMAGED, f"{file}: {err}") from err
        except OSError as err:
            raise StoreError(
                ErrorCode.STORE_UNAVAILABLE, f"{err.filename}: {err.strerror}"
            ) from err


class _Writer:
    def __init__(self, tar: tarfile.TarFile, work: Path) -> None:
        self._tar = tar
        self._work = work
        self._hashes: dict[str, str] = {}

    def add_all(self, places: Places) -> None:
        pictures = places.evidence / PICTURES
        for path, name in _files(places):
            if path.is_relative_to(pictures) or path == places.evidence / DATABASE:
                continue
            if path.suffix == _SUFFIX:
                self._add_copy(path, name)
            else:
                with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                    self._add(name, file, path.stat().st_mode)
        if (places.evidence / DATABASE).exists():
            self._add_evidence(places.evidence)
        manifest = json.dumps({"format": 1, "files": self._hashes}, sort_keys=True).encode()
        self._add(_LIST, io.BytesIO(manifest), 0o600)

    def _add_evidence(self, folder: Path) -> None:
        blobs = Blobs(folder / PICTURES, max_bytes=0, is_read_only=True)
        taken: set[str] = set()
        for _ in range(_ROUNDS):
            copy = _copy_database(folder / DATABASE, self._work / "evidence.sqlite3")
            listed = _listed_pictures(copy)
            if self._take(blobs, listed - taken, taken):
                break
        else:
            raise OSError(0, "pictures vanish faster than they can be copied", str(folder))
        for name in taken - listed:
            del self._hashes[_picture_name(name)]
        with copy.open("rb") as file:
            self._add(f"{_EVIDENCE}/{DATABASE}", file, 0o600)

    def _take(self, blobs: Blobs, names: set[str], taken: set[str]) -> bool:
        """Add pictures; False when one was gone."""
        is_complete = True
        for name in sorted(names):
            try:
                content = blobs.read(name)
            except FileNotFoundError:
                is_complete = False
                continue
            self._add(_picture_name(name), io.BytesIO(content), 0o640)
            taken.add(name)
        return is_complete

    def _add_copy(self, path: Path, name: str) -> None:
        copy = _copy_database(path, self._work / "copy.sqlite3")
        with copy.open("rb") as file:
            self._add(name, file, path.stat().st_mode)

    def _add(self, name: str, file: IO[bytes], mode: int) -> None:
        hashed = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
        self._hashes[name] = hashed.hexdigest()
        info = tarfile.TarInfo(name)
        info.size, info.mode = file.tell(), mode & 0o777
        file.seek(0)
        self._tar.addfile(info, file)


def _files(places: Places) -> Iterator[tuple[Path, str]]:
    """Walk over state and evidence, each file with its name in the backup."""
    roots = {places.evidence: _EVIDENCE, places.state: ""}
    seen: set[Path] = set()
    for root, prefix in roots.items():
        for path in sorted(root.rglob("*")):
            is_ours = path.is_file() and not path.is_symlink() and path not in seen
            if is_ours and path.name not in _NOT_COPIED and not path.name.endswith(_PASSING):
                seen.add(path)
                yield path, str(PurePosixPath(prefix, path.relative_to(root).as_posix()))


def _copy_database(path: Path, copy: Path) -> Path:
    copy.unlink(missing_ok=True)
    with (
        contextlib.closing(sqlite3.connect(path, timeout=10.0)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    return copy


def _listed_pictures(database: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(database)) as db:
        return {name for (name,) in db.execute("SELECT sha256 FROM file")}


def _picture_name(name: str) -> str:
    return f"{_EVIDENCE}/{PICTURES}/{name[:2]}/{name[2:4]}/{name}"


def _unpack(file: Path, fresh: Path) -> None:
    """Unpack what the backup lists, and nothing else; every byte is held against its hash."""
    with tarfile.open(file, mode="r:") as tar:
        members = {member.name: member for member in tar.getmembers() if member.isfile()}
        listing = tar.extractfile(members[_LIST])
        for name, sha256 in _listed(listing.read() if listing else b"").items():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"{name} leaves the folder")
            source = tar.extractfile(members[name])
            # A file of ours is never run, let alone as somebody else.
            if source is None or _write(source, fresh / name, members[name].mode & 0o666) != sha256:
                raise ValueError(f"{name} was changed")


def _listed(listing: bytes) -> dict[str, str]:
    """Read which files a backup holds, each with its hash."""
    try:
        files: dict[str, str] = dict(json.loads(listing)["files"].items())
    except (AttributeError, TypeError, RecursionError) as err:
        raise ValueError(f"{_LIST} lists no files: {type(err).__name__}") from err
    return files


def _write(source: IO[bytes], path: Path, mode: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    hashed = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as target:
        while chunk := source.read(_CHUNK):
            hashed.update(chunk)
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    return hashed.hexdigest()


def _check_evidence(folder: Path) -> None:
    if not (folder / DATABASE).exists():
        return
    archive = Archive(folder)
    try:
        findings = verify(archive).findings
    finally:
        archive.close()
    if findings:
        raise ValueError(f"its evidence does not verify: {findings[0].what}, {findings[0].detail}")


def _swap(fresh: Path, places: Places, now_at: datetime) -> list[Path]:
    """Move the old state aside and the new one to its place."""
    aside = []
    is_elsewhere = not places.evidence.is_relative_to(places.state)
    moves = [(fresh / _EVIDENCE, places.evidence)] if is_elsewhere else []
    for source, target in [*moves, (fresh, places.state)]:
        if target.exists() and any(p.name not in _NOT_COPIED for p in target.iterdir()):
            old = target.with_name(f"{target.name}.before-restore-{now_at:%Y%m%dT%H%M%SZ}")
            target.rename(old)
            aside.append(old)
        elif target.exists():
            shutil.rmtree(target)
        if source.exists():
            shutil.move(source, target)
    return aside

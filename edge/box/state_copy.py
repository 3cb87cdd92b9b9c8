"""A box's state as one file, taken beside the running service, and put back. Ring: adapter (disk, tar, SQLite).

Databases are copied with SQLite's online backup. The evidence's own comes last: its copy lists the pictures that belong
to it, and each of them is in the file, so that what is restored verifies. Putting back happens inside the folders
themselves: they may be mounted disks or volumes, which cannot be renamed, in folders that nobody of ours may write.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import platform
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO

from edge.record.archive import DATABASE, PICTURES, Archive
from edge.record.verification import verify
from shared.disk.blobs import Blobs
from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.startup import hold_folder

_LIST = "manifest.json"
_EVIDENCE = "evidence"
_SUFFIX = ".sqlite3"
_STAYS = ("lock", "lost+found", _ASIDE := "before-restore-", _WORK := "restoring-")
_PASSING = ("-wal", "-shm", "-journal", ".part")  # parts of an open database, half-written files
_RUNNING = "running"  # of the process, which is not what is restored
_TIME = "%Y%m%dT%H%M%SZ"
_OF_A_TIME = re.compile(r"\d{8}T\d{6}Z\.tar\Z")
_ROUNDS = 5  # a picture that is pruned while it is copied costs a round
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a box keeps what must survive: its state folder, and its evidence where that lies elsewhere."""

    state: Path
    evidence: Path

    @property
    def folders(self) -> tuple[Path, ...]:
        """Name them, one where the evidence lies inside the state."""
        is_inside = self.evidence.is_relative_to(self.state)
        return (self.state,) if is_inside else (self.evidence, self.state)

    def path_of(self, name: str) -> Path:
        """Tell where a file of a backup belongs."""
        path = PurePosixPath(name)
        is_evidence = path.is_relative_to(_EVIDENCE)
        return self.evidence / path.relative_to(_EVIDENCE) if is_evidence else self.state / path


def back_up(places: Places, target: Path, now_at: datetime, *, keep: int | None = None) -> Path:
    """Write everything into a new file in a folder, and give its path.

    Args:
        places: what to copy.
        target: the folder, which boxes may share: the file has the machine's name in its own.
        now_at: for its name.
        keep: so many of this machine's files stay, the newest; None is all.

    Raises:
        StoreError(STORE_UNAVAILABLE): something cannot be read, or the folder cannot be written.
    """
    box = f"emberlink-edge-{platform.node()}-"
    path = target / f"{box}{now_at:{_TIME}}.tar"
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
        ours = [p for p in target.glob("*.tar") if _OF_A_TIME.sub("", p.name) == box]
        for old in sorted(ours)[:-keep] if keep else ():
            old.unlink()
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
    with contextlib.ExitStack() as held:
        for folder in places.folders:
            held.enter_context(hold_folder(folder))
        try:
            fresh = _working_places(places, held)
            _unpack(file, fresh)
            _check_evidence(fresh.evidence)
            return [
                aside
                for source, folder in zip(fresh.folders, places.folders, strict=True)
                for aside in _swap(source, folder, now_at)
            ]
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
        for path, name in _files(places):
            if path == places.evidence / DATABASE:
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
    """Walk over evidence and state but for the pictures, each file with its name in the backup."""
    # Evidence that lies elsewhere now may have left its old folder behind; its pictures belong to no journal of ours.
    elsewhere = {places.evidence, places.evidence / PICTURES, places.state / _EVIDENCE}
    for root, prefix in ((places.evidence, _EVIDENCE), (places.state, "")):
        for folder, folders, names in os.walk(root):
            here = Path(folder)
            folders[:] = sorted(n for n in folders if _is_ours(n) and here / n not in elsewhere)
            for path in (here / name for name in sorted(names) if _is_ours(name)):
                if path.is_file() and not path.is_symlink():
                    yield path, str(PurePosixPath(prefix, path.relative_to(root).as_posix()))


def _is_ours(name: str) -> bool:
    """Tell whether a file or folder is what a backup keeps."""
    return not (name.startswith(_STAYS) or name.endswith(_PASSING) or name == _RUNNING)


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


def _working_places(places: Places, held: contextlib.ExitStack) -> Places:
    """Make folders to unpack into, each on the disk for which it is meant."""
    made = []
    for folder in places.folders:
        for left in folder.glob(f"{_WORK}*"):  # by a restore that was killed
            shutil.rmtree(left)
        work = tempfile.TemporaryDirectory(dir=folder, prefix=_WORK)
        made.append(Path(held.enter_context(work)))
    if len(made) == 1:
        evidence = made[0] / places.evidence.relative_to(places.state)
        return Places(state=made[0], evidence=evidence)
    return Places(evidence=made[0], state=made[1])


def _unpack(file: Path, fresh: Places) -> None:
    """Unpack what the backup lists, and nothing else; every byte is held against its hash."""
    with tarfile.open(file, mode="r:") as tar:
        members = {member.name: member for member in tar.getmembers() if member.isfile()}
        listing = tar.extractfile(members[_LIST])
        for name, sha256 in _listed(listing.read() if listing else b"").items():
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"{name} leaves the folder")
            source = tar.extractfile(members[name])
            # A file of ours is never run, let alone as somebody else.
            if (
                source is None
                or _write(source, fresh.path_of(name), members[name].mode & 0o666) != sha256
            ):
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


def _swap(fresh: Path, folder: Path, now_at: datetime) -> Iterator[Path]:
    """Move what a folder holds aside, and what was unpacked to its place."""
    old = [path for path in folder.iterdir() if not path.name.startswith(_STAYS)]
    if old:
        aside = folder / f"{_ASIDE}{now_at:{_TIME}}"
        aside.mkdir()
        for path in old:
            path.rename(aside / path.name)
        yield aside
    for path in fresh.iterdir():
        path.rename(folder / path.name)
    if os.geteuid() == 0:  # the service is another user, and must read what root has put back
        owner = folder.stat()
        for path in folder.rglob("*"):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)

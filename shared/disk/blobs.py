"""Files named by the SHA-256 of their content, durable before anybody is told of them. Ring: adapter (disk).

A file is first staged: written into `incoming/`, file and folder synced. Whoever keeps an index commits its row then
and settles the file: moved to `ab/cd/<sha256>`. After a crash the index says what becomes of each file that is still
staged, so that no row lacks its file and no file lacks its row.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.error_code import ErrorCode
from shared.errors import StoreError

_INCOMING = "incoming"
_NAME = re.compile(r"[0-9a-f]{64}\Z")


class Blobs:
    """A folder of such files; safe for use by many threads, one writer at a time."""

    def __init__(self, root: Path, *, max_bytes: int, is_read_only: bool = False) -> None:
        """Create the folder, unless it is only read.

        Args:
            root: the folder; neither it nor its `incoming` may be a symbolic link, or files would land elsewhere.
            max_bytes: longest file.
            is_read_only: nothing is created.

        Raises:
            StoreError(STORE_UNAVAILABLE): a link, or it cannot be written.
        """
        self._root = root
        self._incoming = root / _INCOMING
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._refuse_links()
        if is_read_only:
            return
        try:
            self._incoming.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as err:
            raise _unavailable(root, err) from err

    def put(self, content: bytes) -> str:
        """Keep a file for good and give its name; it is on disk then."""
        with self.staging([content]) as names:
            self.settle(names)
        return names[0]

    @contextmanager
    def staging(self, contents: Sequence[bytes]) -> Iterator[list[str]]:
        """Write files into `incoming/`, sync them and give their names; what was new is dropped when the block raises.

        Raises:
            StoreError(STORE_UNAVAILABLE): the disk is full or read-only, or a file is too long.
        """
        names = [hashlib.sha256(content).hexdigest() for content in contents]
        new: list[str] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self.discard, new)
            try:
                self._refuse_links()
                with self._lock:
                    for name, content in zip(names, contents, strict=True):
                        if not self.has(name):
                            new.append(name)
                            self._stage(name, content)
                    if new:
                        _sync_folder(self._incoming)
                yield names
            except OSError as err:
                raise _unavailable(self._root, err) from err
            undo.pop_all()

    def settle(self, names: Iterable[str]) -> None:
        """Move staged files to their place, once their rows are on disk; a file that cannot move stays readable.

        A rename survives a crash as a whole or not at all, and both places are looked at: nothing to sync here.

        Raises:
            StoreError(STORE_UNAVAILABLE)
        """
        with self._lock:
            try:
                for name in names:
                    staged, path = self._incoming / name, self._path_of(name)
                    if staged.exists():
                        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
                        refuse_link(path.parent)
                        staged.rename(path)
            except OSError as err:
                raise _unavailable(self._root, err) from err

    def discard(self, names: Iterable[str]) -> None:
        """Drop staged files whose rows did not come to be; what a broken disk keeps is dropped at the next start."""
        with self._lock, contextlib.suppress(OSError):
            for name in names:
                (self._incoming / name).unlink(missing_ok=True)

    def staged(self) -> list[str]:
        """Name what is staged.

        Raises:
            StoreError(STORE_UNAVAILABLE)
        """
        try:
            return [path.name for path in self._incoming.iterdir() if _NAME.match(path.name)]
        except OSError as err:
            raise _unavailable(self._root, err) from err

    def read(self, name: str) -> bytes:
        """Read a file, wherever it is.

        Raises:
            FileNotFoundError, OSError
        """
        # A writer may settle it between two looks, so the last one is at its place again.
        for path in (self._path_of(name), self._incoming / name):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                continue
        return self._path_of(name).read_bytes()

    def has(self, name: str) -> bool:
        """Tell whether a file is there, staged or in its place."""
        # A writer may settle it between two looks, so its place is looked at once more.
        staged, path = self._incoming / name, self._path_of(name)
        return path.exists() or staged.exists() or path.exists()

    def remove(self, names: Iterable[str]) -> None:
        """Delete files, and folders that become empty; those that are gone already are no error.

        Raises:
            StoreError(STORE_UNAVAILABLE)
        """
        with self._lock:
            try:
                for name in names:
                    path = self._path_of(name)
                    path.unlink(missing_ok=True)
                    (self._incoming / name).unlink(missing_ok=True)
                    with contextlib.suppress(OSError):  # other files are left, in most folders
                        path.parent.rmdir()
                        path.parent.parent.rmdir()
            except OSError as err:
                raise _unavailable(self._root, err) from err

    def settled(self) -> Iterator[Path]:
        """Walk over everything that lies in the folders, also what does not belong there."""
        for folder, folders, files in os.walk(self._root):
            if Path(folder) == self._root:
                folders[:] = [name for name in folders if name != _INCOMING]
            yield from (Path(folder) / file for file in files)

    def is_in_place(self, path: Path) -> bool:
        """Tell whether a file lies where its name says."""
        return bool(_NAME.match(path.name)) and path == self._path_of(path.name)

    def _refuse_links(self) -> None:
        for folder in (self._root, self._incoming):
            refuse_link(folder)

    def _path_of(self, name: str) -> Path:
        return self._root / name[:2] / name[2:4] / name

    def _stage(self, name: str, content: bytes) -> None:
        if len(content) > self._max_bytes:
            detail = f"a file of {len(content)} bytes, at most {self._max_bytes}"
            raise StoreError(ErrorCode.STORE_UNAVAILABLE, detail)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(self._incoming / name, flags, 0o640), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def refuse_link(folder: Path) -> None:
    """Refuse a folder that is a symbolic link.

    Raises:
        StoreError(STORE_UNAVAILABLE)
    """
    if folder.is_symlink():
        detail = f"{folder} is a symbolic link to {os.readlink(folder)}; name that folder itself in the settings"
        raise StoreError(ErrorCode.STORE_UNAVAILABLE, detail)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unavailable(root: Path, err: OSError) -> StoreError:
    return StoreError(ErrorCode.STORE_UNAVAILABLE, f"{err.filename or root}: {err.strerror}")

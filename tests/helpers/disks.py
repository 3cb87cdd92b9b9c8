"""Small disks of their own, mounted for a test: they fill up, fail or hang while files are open, and come back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a disk in memory, for instance of `2m`; skips the test where that is not allowed."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "none", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(disk: Path) -> None:
    """Write until nothing more fits."""
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            while True:
                try:
                    file.write(b"\0" * size)
                except OSError:
                    break


def remount(folder: Path, options: str) -> None:
    """Mount a small disk anew with other options, such as `ro` or another size."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@dataclass(frozen=True, kw_only=True)
class FailingDisk:
    """An ext4 file system in a file. What it finds wrong with itself makes it read-only, as on a worn-out SD card."""

    image: Path
    folder: Path

    def fail(self) -> None:
        """Turn read-only at once, whatever is open, as after a fault of the medium."""
        source = subprocess.run(
            ["findmnt", "-no", "SOURCE", str(self.folder)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        trigger = Path("/sys/fs/ext4") / Path(source).name / "trigger_fs_error"
        if not trigger.exists():
            pytest.skip("this kernel cannot pretend a fault of ext4")
        trigger.write_text("1", encoding="ascii")

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Take no write and refuse none for the length of a block, as a card that is dying does."""
        subprocess.run(["fsfreeze", "--freeze", str(self.folder)], check=True)
        try:
            yield
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", str(self.folder)], check=True)

    def repair(self) -> None:
        """Check and mount it anew; no file on it may be open."""
        subprocess.run(["umount", str(self.folder)], check=True)
        subprocess.run(["e2fsck", "-fy", str(self.image)], check=False, capture_output=True)
        _mount("-o", "loop,errors=remount-ro", str(self.image), str(self.folder))


@contextmanager
def failing_disk(folder: Path, megabytes: int = 24) -> Iterator[FailingDisk]:
    """Mount an ext4 of its own that can be made to fail; skips the test where that is not allowed."""
    make = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if make is None:
        pytest.skip("mkfs.ext4 is not installed")
    folder.mkdir()
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run([make, "-q", str(image)], check=True)
    _mount("-o", "loop,errors=remount-ro", str(image), str(folder))
    try:
        yield FailingDisk(image=image, folder=folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold a database's one place to write: whoever else writes waits two seconds, and is refused then."""
    other = sqlite3.connect(database, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("COMMIT")
    finally:
        other.close()


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False, text=True)
    if done.returncode:
        pytest.skip(f"only root may mount a disk for this test: {done.stderr.strip()}")

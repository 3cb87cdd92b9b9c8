"""Checks of a machine, one finding each: what is so, and what to do about it. Ring: adapter (this machine)."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from shared.errors import FireError, ModelError
from shared.model.inference import best_cpu_variant, refuse_two_runtimes

_LEAST_PYTHON = (3, 11)
_SLOW_SYNC_S = 0.05  # an SD card at its end; each charge and each event waits for one
_PROBE_BYTES = 4_000_000
_LITTLE_FREE_BYTES = 2_000_000_000
_FIRST_CALL_PROBES = 5
_CONNECT_WITHIN_S = 5.0
NAME_UNKNOWN = "the name is not known"
_SLOW_DISK = (
    "Put the state on a faster disk, an SSD instead of an SD card: each call of the cloud and each event waits "
    "for such a write."
)
_NOT_WRITABLE = "Make the folder writable for the service's user, or name another one."
_FULL = "Free room on that disk, or name a folder on another one."
_DISK_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: "It is mounted read-only; a disk that fails becomes so, too: `dmesg` tells.",
}


class State(StrEnum):
    """How a check went; the values are what the line begins with."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found; `remedy` is empty where nothing has to be done."""

    state: State
    what: str
    text: str
    remedy: str = ""


def ok(what: str, text: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(state=State.OK, what=what, text=text)


def warn(what: str, text: str, remedy: str) -> Finding:
    """Say that something works, but not as it should."""
    return Finding(state=State.WARN, what=what, text=text, remedy=remedy)


def fail(what: str, text: str, remedy: str) -> Finding:
    """Say that something does not work."""
    return Finding(state=State.FAIL, what=what, text=text, remedy=remedy)


def failed(what: str, err: FireError) -> Finding:
    """Say what our own error says, with its remedy."""
    return fail(what, err.detail or err.code.row.text_en, err.remedy)


def as_line(finding: Finding) -> str:
    """Write a finding as people read it, its remedy on a line of its own."""
    remedy = f"\n      → {finding.remedy}" if finding.remedy else ""
    return f"{finding.state.value:5} {finding.what:8} {finding.text}{remedy}"


def checked(what: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Run a check; whatever it raises is a finding, too, so that the others still run."""
    try:
        yield from check()
    except FireError as err:
        yield failed(what, err)
    except Exception as err:  # a check that breaks must not take the others down
        yield fail(what, f"{type(err).__name__}: {err}", "Report this: the check itself is broken.")


def python() -> Iterator[Finding]:
    """Check the interpreter."""
    text = f"{platform.python_version()} on {platform.machine()}"
    if sys.version_info[:2] >= _LEAST_PYTHON:
        yield ok("python", text)
    else:
        wanted = ".".join(map(str, _LEAST_PYTHON))
        yield fail("python", text, f"Install Python {wanted} or newer.")


def runtime() -> Iterator[Finding]:
    """Check that one ONNX runtime is installed, and one only."""
    try:
        refuse_two_runtimes()
    except ModelError as err:
        yield failed("runtime", err)
        return
    import onnxruntime

    name = next((n for n in ("onnxruntime-gpu", "onnxruntime") if _is_installed(n)), "onnxruntime")
    providers = ", ".join(onnxruntime.get_available_providers())
    yield ok("runtime", f"{name} {onnxruntime.__version__}: {providers}")


def processor() -> Iterator[Finding]:
    """Check whether the CPU has fast 8-bit arithmetic."""
    cores = os.cpu_count() or 1
    if best_cpu_variant() == "int8":
        yield ok("cpu", f"{cores} cores, 8-bit dot products: int8 model")
    else:
        yield warn(
            "cpu",
            f"{cores} cores without 8-bit dot products (VNNI, dotprod): fp32 model",
            "Expect half as many frames a second; nothing has to be done.",
        )


def folder(path: Path, what: str = "disk") -> Iterator[Finding]:
    """Check that a folder can be written, how fast a synced write is, and how much room there is."""
    try:
        with _there(path):
            mb_per_s, sync_s = _probe(path)
            free = shutil.disk_usage(path).free
    except OSError as err:
        yield fail(
            what,
            f"{path}: {err.strerror or err}",
            _DISK_REMEDIES.get(err.errno or 0, _NOT_WRITABLE),
        )
        return
    text = f"{path}: {mb_per_s:.0f} MB/s, {1000 * sync_s:.1f} ms a synced write, {free / 1e9:.1f} GB free"
    if free < _LITTLE_FREE_BYTES:
        yield warn(what, text, "Free room: evidence is thinned out when the disk fills up.")
    elif sync_s > _SLOW_SYNC_S:
        yield warn(what, text, _SLOW_DISK)
    else:
        yield ok(what, text)


@contextmanager
def _there(path: Path) -> Iterator[None]:
    """Make a folder for as long as it is looked at: one that a check left would belong to whoever ran the check."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in made:
            folder.rmdir()


def _probe(path: Path) -> tuple[float, float]:
    """Write and sync once in bulk, and a few times a little; returns MB/s and the median of the small ones."""
    probe = path / f".doctor-{os.getpid()}"
    try:
        with probe.open("wb") as file:
            bulk_s = _timed(lambda: _write(file.fileno(), os.urandom(_PROBE_BYTES)))
            small = sorted(
                _timed(lambda: _write(file.fileno(), b"x")) for _ in range(_FIRST_CALL_PROBES)
            )
    finally:
        probe.unlink(missing_ok=True)
    return _PROBE_BYTES / 1e6 / max(bulk_s, 1e-6), small[len(small) // 2]


def _write(descriptor: int, data: bytes) -> None:
    os.write(descriptor, data)
    os.fsync(descriptor)


def _timed(act: Callable[[], None]) -> float:
    began_s = time.perf_counter()
    act()
    return time.perf_counter() - began_s


def port(host: str, number: int, *, health: Callable[[], str | None]) -> Iterator[Finding]:
    """Check that a port is free, or that it is our own service that holds it.

    Args:
        host: address to bind.
        number: the port; 0 is always free.
        health: tells who answers there, None when nobody of ours does.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as err:
            if err.errno == errno.EADDRINUSE and (who := health()):
                yield ok("port", f"{host}:{number} is held by {who}")
            else:
                remedy = f"`ss -ltnp 'sport = :{number}'` names who has it; choose another with server.port."
                yield fail("port", f"{host}:{number}: {err.strerror}", remedy)
        else:
            yield ok("port", f"{host}:{number} is free")


def unreachable(host: str, number: int) -> str | None:
    """Tell why nobody can be connected to there; None when somebody listens."""
    try:
        socket.create_connection((host, number), timeout=_CONNECT_WITHIN_S).close()
    except socket.gaierror:
        return NAME_UNKNOWN
    except TimeoutError:
        return f"no answer within {_CONNECT_WITHIN_S:g} s, as behind a firewall"
    except OSError as err:
        return err.strerror or str(err)
    return None


def secret_file(path: Path, what: str, *, may_share_group: bool = False) -> Iterator[Finding]:
    """Check that a secret can be read, and by nobody else, or with `may_share_group` nobody outside its group."""
    try:
        mode = path.stat().st_mode & 0o777
        path.read_bytes()
    except OSError as err:
        remedy = "Create the file, readable for the service's user alone."
        yield fail("secret", f"{what} {path}: {err.strerror}", remedy)
        return
    if mode & (0o007 if may_share_group else 0o077):
        right = "o=" if may_share_group else "600"
        yield warn("secret", f"{what} {path} has mode {mode:o}", f"chmod {right} {path}")
    else:
        yield ok("secret", f"{what} {path}")


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True

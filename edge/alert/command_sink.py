"""Alerts to a program: its arguments as configured, the alert as JSON on its input. Ring: adapter (a process)."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import selectors
import signal
import subprocess
from collections.abc import Sequence
from selectors import EVENT_READ, EVENT_WRITE

from edge.alert.message import Alert, Language, as_dict
from edge.outbox.item import Delivered, Outcome, Poison, Retry
from shared.clock import Clock
from shared.deadline import Deadline
from shared.logs import get_logger

_KEPT_OUTPUT_BYTES = 2000
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")  # nothing else: the environment holds secrets
_LOOK_EVERY_S = 0.05
# After the kill: a program that may not be killed, or hangs in a disk, is left behind.
_ENDS_WITHIN_S = 5.0
_WRONG_DATA = 65  # sysexits.h, EX_DATAERR: the program refuses this alert for good


class CommandSink:
    """Runs a program once an alert, without a shell; exit status 0 is delivered, 65 refused, all else tried again."""

    trouble: str | None = None
    is_connected = True

    def __init__(
        self, argv: Sequence[str], language: Language, timeout_s: float, clock: Clock
    ) -> None:
        """Keep what to run; it is ended, with everything it started, after `timeout_s`."""
        self._argv = tuple(argv)
        self._language = language
        self._timeout_s = timeout_s
        self._clock = clock

    def start(self) -> None:
        """Nothing to connect to before the first alert."""

    def deliver(self, alert: Alert, picture: bytes | None) -> Outcome:
        """Run the program and wait for its end."""
        snapshot = base64.b64encode(picture).decode() if picture else None
        fields = {**as_dict(alert, self._language), "snapshot_base64": snapshot}
        try:
            process = self._start()
        except OSError as err:
            return Retry(reason=f"cannot be started: {err.strerror}")
        message = json.dumps(fields, ensure_ascii=False).encode() + b"\n"
        try:
            said = _converse(process, message, Deadline.after(self._timeout_s, self._clock))
            status = process.poll()
        finally:
            _end(process)
        if status is None:
            return Retry(reason=f"did not end within {self._timeout_s:g} s")
        if status == 0:
            return Delivered()
        get_logger().warning("alert_command_failed", status=status, output=said)
        reason = f"exit status {status}" + (f": {said[:100]}" if said else "")
        return Poison(reason=reason) if status == _WRONG_DATA else Retry(reason=reason)

    def show(self, burning: frozenset[str]) -> None:
        """Nothing is shown between alerts."""

    def close(self) -> None:
        """Nothing to let go of."""

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return subprocess.Popen(  # noqa: S603 # the operator's own program, as a list, without a shell
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            bufsize=0,
        )


def _converse(process: subprocess.Popen[bytes], message: bytes, deadline: Deadline) -> str:
    """Feed a program and listen to it until it ends or its time is over; gives the first of what it said.

    All it says is read, so that it never waits for us; a program that does not read its input is no error.
    """
    said, left = b"", memoryview(message)
    with selectors.DefaultSelector() as selector:
        for pipe, event in ((process.stdin, EVENT_WRITE), (process.stdout, EVENT_READ)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, event)
        is_last = False
        while not is_last and not deadline.has_passed():
            is_last = process.poll() is not None  # what it said before its end is still read once
            for key, event in selector.select(0.0 if is_last else _LOOK_EVERY_S):
                try:
                    if event & EVENT_READ:
                        chunk = os.read(key.fd, 65_536)
                        said = (said + chunk)[:_KEPT_OUTPUT_BYTES]
                        is_open = bool(chunk)
                    else:
                        left = left[os.write(key.fd, left[:65_536]) :]
                        is_open = bool(left)
                except OSError:
                    is_open = False
                if not is_open:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr] # registered above as files
    return said.decode("utf-8", "replace").strip()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and everything it started, and let go of its pipes."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(_ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        get_logger().error("alert_command_left_behind", pid=process.pid)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()

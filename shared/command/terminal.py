"""What both command lines share: options, error texts, waiting for a signal, a loop over files. Ring: rim."""

from __future__ import annotations

import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from shared.errors import CommandError, FireError
from shared.logs import printable


class FiniteRange(click.FloatRange):
    """A number within bounds; click's own range lets NaN through."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


RATE = FiniteRange(0.01, 240.0)
"""Frames a second."""

NAME_STATE = "Name the state folder of the service with --state, or its settings with --config."


@contextmanager
def explained() -> Iterator[None]:
    """Turn our errors into a message with its remedy and exit status 2, without a stack trace."""
    try:
        yield
    except FireError as err:
        row = err.code.row
        click.echo(f"error {row.number}: {row.text_en}", err=True)
        for line in err.detail.splitlines():
            click.echo(f"  {printable(line)}", err=True)
        click.echo(f"  what to do: {err.remedy}", err=True)
        sys.exit(2)


class StopSignal:
    """SIGINT and SIGTERM from now on; a second one kills at once."""

    def __init__(self, also: threading.Event | None = None) -> None:
        """Listen; a wait ends by `also`, too, which a signal sets."""
        self._ends = also or threading.Event()
        self.has_come = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._come)

    def wake(self) -> None:
        """End the wait without a signal."""
        self._ends.set()

    def wait(self) -> None:
        """Sleep until a signal came or somebody woke us."""
        self._ends.wait()

    def goes_on(self) -> bool:
        """Tell whether no signal has come, and be ready to wait anew."""
        self._ends.clear()
        return not self.has_come

    def _come(self, number: int, _frame: Any) -> None:
        self.has_come = True
        self._ends.set()
        signal.signal(number, signal.SIG_DFL)


def wait_for_stop(also: threading.Event | None = None) -> None:
    """Sleep until SIGINT, SIGTERM or `also`; a second signal kills at once."""
    StopSignal(also).wait()


def unwritable(path: Path, err: OSError, option: str) -> CommandError:
    """Say that what a command makes cannot be written where it was told to."""
    if isinstance(err, FileExistsError):
        remedy = f"Name another one with {option}, or move that one away: it is never overwritten."
    else:
        remedy = f"Name a place with {option} that exists and that you may write."
    return CommandError(f"{path}: {err.strerror}", remedy)

"""What both command lines share: options, error texts, waiting for a signal, a loop over files. Ring: rim."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import tqdm

from shared.errors import CommandError, FireError
from shared.gather import Gathered, gather, list_files
from shared.imaging import ImageLimits, encode_jpeg
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


def for_each_picture(
    paths: Sequence[Path],
    *,
    limits: ImageLimits,
    video_fps: float,
    as_json: bool,
    save: Path | None,
    look: Callable[[Gathered], tuple[dict[str, Any], str, Callable[[], Any]]],
) -> int:
    """Print one line a picture, with a progress bar on a terminal.

    Args:
        paths: files, folders and videos.
        limits: for pictures.
        video_fps: frames a second taken from videos.
        as_json: JSON lines instead of text.
        save: folder for annotated pictures; created.
        look: gives the JSON fields, the text, and a function that draws the annotated picture (BGR).

    Returns:
        how many pictures could not be used; they have a line too.

    Raises:
        CommandError: there is no file at all, or `save` cannot be written.
    """
    files = list_files(paths)
    if not files:
        names = ", ".join(map(str, paths))
        raise CommandError(
            f"{names}: no picture or video in it", "Name files, or folders with such."
        )
    if save:
        with _saving_to(save):
            save.mkdir(parents=True, exist_ok=True)
    failed = 0
    bar = tqdm.tqdm(
        files, unit="file", disable=not sys.stderr.isatty() or len(files) < 2, file=sys.stderr
    )
    for file in bar:
        for found in gather(file, limits, video_fps):
            try:
                if isinstance(found.picture, FireError):
                    raise found.picture
                fields, text, draw = look(found)
            except FireError as err:
                failed += 1
                fields = {
                    "err_no": err.code.row.number,
                    "err_msg": err.code.row.text_en,
                    "detail": err.detail,
                }
                text, draw = f"error {err.code.row.number}: {err.detail}", None
            place = {"file": str(file)} | ({} if found.at_s is None else {"at_s": found.at_s})
            name = str(file) if found.at_s is None else f"{file} @ {found.at_s:.2f} s"
            with tqdm.tqdm.external_write_mode(file=sys.stdout):
                click.echo(
                    json.dumps(place | fields, ensure_ascii=False) if as_json else f"{name}: {text}"
                )
            if save and draw:
                with _saving_to(save):
                    (save / _annotated_name(file, found.at_s)).write_bytes(encode_jpeg(draw()))
    return failed


def unwritable(path: Path, err: OSError, option: str) -> CommandError:
    """Say that what a command makes cannot be written where it was told to."""
    if isinstance(err, FileExistsError):
        remedy = f"Name another one with {option}, or move that one away: it is never overwritten."
    else:
        remedy = f"Name a place with {option} that exists and that you may write."
    return CommandError(f"{path}: {err.strerror}", remedy)


@contextmanager
def _saving_to(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise unwritable(folder, err, "--save") from err


def _annotated_name(file: Path, at_s: float | None) -> str:
    """Name the picture after its file; a checksum of its path keeps files of one name apart."""
    moment = "" if at_s is None else f"_{at_s:08.2f}s"
    return f"{file.stem}{moment}_{zlib.crc32(os.fsencode(file)):08x}.jpg"

"""What `classify` and `detect` share: a loop over files, and the annotated pictures. Ring: rim."""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import tqdm

from shared.command.terminal import unwritable
from shared.errors import CommandError, FireError
from shared.picture.gather import Gathered, gather, list_files
from shared.picture.imaging import encode_jpeg
from shared.types import ImageLimits


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
    files = _listed(paths)
    if save:
        with _saving_to(save):
            save.mkdir(parents=True, exist_ok=True)
    failed = 0
    is_quiet = not sys.stderr.isatty() or len(files) < 2
    for file in tqdm.tqdm(files, unit="file", disable=is_quiet, file=sys.stderr):
        for found in gather(file, limits, video_fps):
            try:
                if isinstance(found.picture, FireError):
                    raise found.picture
                fields, text, draw = look(found)
            except FireError as err:
                failed += 1
                fields, text, draw = *_problem(err), None
            line = (
                _json_line(file, found.at_s, fields) if as_json else _line(file, found.at_s, text)
            )
            with tqdm.tqdm.external_write_mode(file=sys.stdout):
                click.echo(line)
            if save and draw:
                with _saving_to(save):
                    (save / _annotated_name(file, found.at_s)).write_bytes(encode_jpeg(draw()))
    return failed


def _listed(paths: Sequence[Path]) -> list[Path]:
    files = list_files(paths)
    if not files:
        names = ", ".join(map(str, paths))
        raise CommandError(
            f"{names}: no picture or video in it", "Name files, or folders with such."
        )
    return files


def _problem(err: FireError) -> tuple[dict[str, Any], str]:
    row = err.code.row
    fields = {"err_no": row.number, "err_msg": row.text_en, "detail": err.detail}
    return fields, f"error {row.number}: {err.detail}"


def _json_line(file: Path, at_s: float | None, fields: dict[str, Any]) -> str:
    moment = {} if at_s is None else {"at_s": at_s}
    return json.dumps({"file": str(file)} | moment | fields, ensure_ascii=False)


def _line(file: Path, at_s: float | None, text: str) -> str:
    moment = "" if at_s is None else f" @ {at_s:.2f} s"
    return f"{file}{moment}: {text}"


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

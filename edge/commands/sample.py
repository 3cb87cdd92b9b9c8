"""`emberlink-edge sample`: a rendered picture of a fire. Ring: rim."""

from __future__ import annotations

from pathlib import Path

import click

from edge.capture.sim import sim_settings
from shared.command.terminal import FiniteRange, explained, unwritable
from shared.picture.imaging import jpeg_picture
from shared.rendered.scene import Scene


@click.command("sample")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--at",
    "at_s",
    default=40.0,
    show_default=True,
    type=FiniteRange(0.0, 86_400.0),
    help="Second of the scene; its fire starts at 8.",
)
@click.option(
    "--source", default="sim:", show_default=True, help="Settings of the scene, as for a camera."
)
def sample_command(file: Path, at_s: float, source: str) -> None:
    """Render a picture of a fire.

    For machines without a photograph of one.
    """
    with explained():
        picture = jpeg_picture(Scene(sim_settings(source)).render(at_s).bgr_hwc_u8)
        try:
            file.write_bytes(picture.encoded)
        except OSError as err:
            raise unwritable(file, err, "FILE") from err
    click.echo(
        f"{file}: {picture.width_px} x {picture.height_px}, {len(picture.encoded)} bytes, second {at_s:g}"
    )

"""`emberlink-edge calibrate`: fit the probabilities to this site, from what people said of its events. Ring: rim."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence

import click

from edge.classify.classifier import LoadedClassifier
from edge.classify.site_calibration import SiteCalibration, write_site_calibration
from edge.commands.evidence import of_a_box, open_archive
from edge.config.settings import EdgeSettings
from edge.event.fire_event import Severity
from edge.record.archive import Archive
from edge.record.types import MOST_EVENTS_A_PAGE, EventQuery, EventRecord, FrameRecord, Mark
from shared.clock import SystemClock
from shared.errors import FireError
from shared.model.inference import best_cpu_variant
from shared.model.manifest import Platt, load_artifact, shipped_models
from shared.model.recalibrate import Calibration, LabelledLogit, Refit, TooFewLabelsError, refit
from shared.picture.imaging import read_picture
from shared.types import ImageLimits

# Frames of one event are alike: more of them would count one opinion many times.
_FRAMES_AN_EVENT = 5
_CLASSES = ("fire", "smoke")


@click.command("calibrate")
@click.option("--dry-run", is_flag=True, help="Show what it would bring; change nothing.")
@of_a_box
def calibrate_command(settings: EdgeSettings, dry_run: bool) -> None:
    """Fit the probabilities to this site.

    From events marked true or false; exit 1 when there are too few.
    """
    artifact = load_artifact(
        settings.models or shipped_models(),
        settings.model.name,
        kind="classifier",
        variant=settings.model.variant or best_cpu_variant(),
    )
    model = LoadedClassifier(artifact)
    archive = open_archive(settings)
    try:
        labelled = gather_labels(archive, model, settings.limits.image_limits())
    finally:
        archive.close()
    fits = _fits(labelled, artifact.manifest.calibration[artifact.variant])
    if not any(found.helps for found in fits.values()):
        click.echo("Nothing is changed: there is no class that the labels would make better.")
        sys.exit(0 if fits else 1)
    if dry_run:
        click.echo("Nothing is changed: --dry-run.")
        return
    path = write_site_calibration(settings.state, _as_file(fits, artifact.identity.sha256_12))
    click.echo(f"{path} written; it holds from the next start of the service on.")


def gather_labels(
    archive: Archive, model: LoadedClassifier, limits: ImageLimits
) -> dict[str, list[LabelledLogit]]:
    """Let the model look again at kept frames of marked events; gives its logits by class with what people said."""
    found: dict[str, list[LabelledLogit]] = {name: [] for name in _CLASSES}
    for record in _marked(archive):
        said = _what_was_there(record)
        for frame in _spread(_during(record, archive.frames(record.event.event_id))):
            try:
                encoded = archive.picture(record.event.event_id, frame.frame_id)
                logits = model.logits(read_picture(encoded, limits))
            except FireError as err:
                click.echo(f"{frame.frame_id}: {err.detail}", err=True)
                continue
            for name, is_present in said.items():
                found[name].append(LabelledLogit(logit=logits[name], is_present=is_present))
    return found


def _marked(archive: Archive) -> Iterator[EventRecord]:
    cursor: str | None = None
    while True:
        page = archive.events(EventQuery(limit=MOST_EVENTS_A_PAGE, cursor=cursor, is_reviewed=True))
        yield from (r for r in page.events if r.mark in (Mark.TRUE, Mark.FALSE))
        cursor = page.cursor
        if cursor is None:
            return


def _what_was_there(record: EventRecord) -> Mapping[str, bool]:
    """Say which classes were there for certain, and which were not; a real fire may smoke or not, nobody said."""
    if record.mark is Mark.FALSE:
        return {"fire": False, "smoke": False}
    if record.event.severity is Severity.SMOKE:
        return {"smoke": True}
    return {"fire": True}


def _during(record: EventRecord, frames: Sequence[FrameRecord]) -> list[FrameRecord]:
    """Leave out what was kept from before: nobody said anything about it."""
    event = record.event
    return [f for f in frames if event.opened_at <= f.captured_at <= event.last_seen_at]


def _spread(frames: Sequence[FrameRecord]) -> list[FrameRecord]:
    step = max(1, len(frames) // _FRAMES_AN_EVENT)
    return list(frames[::step][:_FRAMES_AN_EVENT])


def _fits(
    labelled: Mapping[str, Sequence[LabelledLogit]], shipped: Mapping[str, Platt]
) -> dict[str, Refit]:
    """Fit each class that has enough labels, and say what that brings."""
    fits = {}
    for name, items in labelled.items():
        start = Calibration(scale=shipped[name].scale, bias=shipped[name].bias)
        try:
            fits[name] = found = refit(items, start)
        except TooFewLabelsError as err:
            click.echo(f"{name:6} {err}")
            continue
        verdict = "better" if found.helps else "no better: left as it is"
        click.echo(
            f"{name:6} {found.labels} pictures, {found.positives} of them real: calibration error "
            f"{found.ece_before:.3f} before, {found.ece_after:.3f} after; {verdict}"
        )
    return fits


def _as_file(fits: Mapping[str, Refit], sha256_12: str) -> SiteCalibration:
    helping = {name: found for name, found in fits.items() if found.helps}
    return SiteCalibration.model_validate(
        {
            "model_sha256_12": sha256_12,
            "made_at": SystemClock().now_at(),
            "classes": {
                n: {"scale": f.calibration.scale, "bias": f.calibration.bias}
                for n, f in helping.items()
            },
            "labels": {n: f.labels for n, f in helping.items()},
            "ece_before": {n: f.ece_before for n, f in helping.items()},
            "ece_after": {n: f.ece_after for n, f in helping.items()},
        }
    )

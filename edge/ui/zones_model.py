"""The zones of a camera as the form on *Settings* shows and sends them. Ring: rim, pure functions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from werkzeug.datastructures import MultiDict

from edge.box.site_zones import SiteZones
from edge.box.zone_store import SavedZones
from edge.config.events import ZoneSection
from edge.config.settings import EdgeSettings
from edge.ui.settings_model import Origins
from edge.ui.speech import Speech
from edge.zones.zones import ZoneKind
from shared.error_code import ErrorCode
from shared.errors import RequestError, StoreError

_MOST_VERSIONS = 20  # listed; more are kept
_MOST_CHARACTERS = 4_000  # a zone has at most 32 corners
_FIELDS = ("name", "kind", "points", "threshold", "min_duration_s")
KINDS = (ZoneKind.IGNORE, ZoneKind.WATCH, ZoneKind.PRIVACY)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneRow:
    """A zone in the form; `points` are `x,y x,y …` in shares of the picture, as SVG takes them."""

    name: str
    kind: str
    points: str
    threshold: str
    min_duration_s: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """A version that was saved on the page; `is_shown` in the editor."""

    number: int
    origin: Markup
    names: str
    is_shown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonesPanel:
    """The editor: the zones in it, where they come from, and those that hold as lines for the configuration file.

    `number` is the newest version's, which a saved one comes after; `is_older` tells that others hold than are shown.
    """

    rows: tuple[ZoneRow, ...]
    number: int
    is_saved: bool
    is_older: bool
    origin: Markup
    versions: tuple[VersionRow, ...]
    toml: str


def show_zones(zones: SiteZones, camera: str, speech: Speech, version: str = "") -> ZonesPanel:
    """Say which zones hold for a camera; `version` puts an older one into the editor."""
    saved, held, kept = zones.saved(camera), zones.zones(camera), _kept(zones, camera)
    older = next((one for one in kept if str(one.number) == version and one != saved), None)
    shown = older.zones if older and older.zones is not None else held
    return ZonesPanel(
        rows=tuple(_row(name, zone) for name, zone in shown.items()),
        number=saved.number if saved else 0,
        is_saved=saved is not None and saved.zones is not None,
        is_older=older is not None,
        origin=_origin(older or saved, speech)
        if saved or held
        else speech.t("settings.zones_none"),
        versions=tuple(
            VersionRow(
                number=one.number,
                origin=_origin(one, speech),
                names=", ".join(one.zones or ()) or str(speech.t("settings.zones_empty")),
                is_shown=one == (older or saved),
            )
            for one in kept
        ),
        toml=write_toml(camera, held),
    )


def _kept(zones: SiteZones, camera: str) -> list[SavedZones]:
    """Give the versions with zones; none while the disk cannot be read, for those that hold are in memory."""
    try:
        versions = zones.versions(camera, _MOST_VERSIONS)
    except StoreError:
        return []
    return [one for one in versions if one.zones is not None]


def with_zones(
    origins: Origins, zones: SiteZones, settings: EdgeSettings, speech: Speech
) -> Origins:
    """Say where the zones that hold come from, for each camera whose zones were saved on the page."""
    found: dict[tuple[str, ...], str] = dict(origins)
    for camera in settings.cameras:
        saved = zones.saved(camera)
        if saved is None or saved.zones is None:
            continue
        path = ("cameras", camera, "zones")
        found = {key: origin for key, origin in found.items() if key[:3] != path}
        found[path] = str(_origin(saved, speech).striptags())
    return found


def read_form(form: MultiDict[str, str]) -> dict[str, Any]:
    """Take all zones of a posted form, without the one whose button `remove` was pressed.

    Raises:
        RequestError(REQUEST_FIELD_INVALID): fields are missing, two zones have one name, or corners are no numbers.
    """
    columns = [form.getlist(field) for field in _FIELDS]
    if len({len(column) for column in columns}) != 1:
        raise _invalid("each zone needs " + ", ".join(_FIELDS))
    removed = form.get("remove", "")
    zones: dict[str, Any] = {}
    for name, kind, points, threshold, duration in zip(*columns, strict=True):
        if removed and name == removed:
            continue
        if name in zones:
            raise _invalid(f"two zones are called {name[:64]!r}")
        zones[name] = {"kind": kind, "points": _points(points), **_rules(kind, threshold, duration)}
    return zones


def write_toml(camera: str, zones: Mapping[str, ZoneSection]) -> str:
    """Write zones as they stand in a configuration file."""
    return "\n\n".join(
        "\n".join(
            [
                f'[cameras."{camera}".zones."{name}"]',
                f'kind = "{zone.kind.value}"',
                f"points = {json.dumps([list(point) for point in zone.points])}",
                *_toml_rules(zone),
            ]
        )
        for name, zone in zones.items()
    )


def _toml_rules(zone: ZoneSection) -> Sequence[str]:
    if zone.kind is not ZoneKind.WATCH:
        return ()
    return (f"threshold = {zone.threshold}", f"min_duration_s = {zone.min_duration_s}")


def _row(name: str, zone: ZoneSection) -> ZoneRow:
    return ZoneRow(
        name=name,
        kind=zone.kind.value,
        points=" ".join(f"{x:g},{y:g}" for x, y in zone.points),
        threshold=f"{zone.threshold:g}",
        min_duration_s=f"{zone.min_duration_s:g}",
    )


def _origin(saved: SavedZones | None, speech: Speech) -> Markup:
    if saved is None:
        return speech.t("settings.zones_from_file")
    key = "settings.zones_saved" if saved.zones is not None else "settings.zones_given_back"
    return speech.t(key, n=saved.number, by=saved.by, at=speech.moment(saved.at))


def _points(text: str) -> list[tuple[float, float]]:
    pairs = [pair.split(",") for pair in text[:_MOST_CHARACTERS].split()]
    try:
        points = [(float(x), float(y)) for x, y in pairs]
    except ValueError as err:
        raise _invalid(f"points: {text[:60]!r} is not x,y x,y …") from err
    if not all(math.isfinite(value) for point in points for value in point):
        raise _invalid(f"points: {text[:60]!r} is not x,y x,y …")
    return points


def _rules(kind: str, threshold: str, duration: str) -> dict[str, str]:
    """Only a watched zone has rules of its own; the form has the fields for all."""
    return {"threshold": threshold, "min_duration_s": duration} if kind == ZoneKind.WATCH else {}


def _invalid(detail: str) -> RequestError:
    return RequestError(ErrorCode.REQUEST_FIELD_INVALID, detail)

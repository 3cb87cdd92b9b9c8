"""What *Now* shows: the sentence, the four vitals, the wall. Ring: rim, pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edge.box.live import Look
from edge.event.fire_event import Severity
from edge.record.types import EventRecord
from edge.ui.drawing import DrawnBox, Spark, drawn, spark
from edge.ui.fire_model import FireTile, event_words, is_red, severity_class, show_fire
from edge.ui.speech import Speech
from shared.watch.trouble import Trouble, TroubleKind

_HERO_WIDTH_PX, _TILE_WIDTH_PX = 960, 480
_STALE_S = 30.0  # a configured camera that was silent this long watches nothing, whatever it says of itself
_PUSHED_GONE_S = 600.0  # a camera that only posts frames leaves the wall after this


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraNow:
    """What is known of one camera: its look, its troubles, and from which probability on it is asked about."""

    name: str
    title: str
    look: Look | None
    ask_at: float | None
    has_ended: bool
    is_configured: bool
    troubles: tuple[Trouble, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One camera on the wall; `state` is its CSS class: trouble, smoke, doubt or nothing."""

    name: str
    title: str
    href: str
    state: str
    word: Markup
    icon: str
    chip: tuple[str, Markup] | None
    message: Markup | None
    small: Markup | None
    picture: str | None
    width_px: int
    height_px: int
    boxes: tuple[DrawnBox, ...]
    age: str
    seen_s: float
    share: str
    spark: Spark
    spark_label: Markup
    fire: FireTile | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """The one sentence; `kind` is fire, seen, smoke, doubt, calm; `events` are what Acknowledge answers."""

    kind: str
    headline: Markup
    more: Markup
    events: tuple[str, ...]
    href: str | None
    icon: str
    is_alert: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wall:
    """The whole of *Now* but the vitals."""

    sentence: Sentence
    tiles: tuple[Tile, ...]
    is_alarm: bool


def show_wall(
    cameras: Sequence[CameraNow],
    events: Sequence[EventRecord],
    speech: Speech,
    *,
    now_mono_s: float,
    calm_note: Markup,
    is_blindfolded: bool = False,
) -> Wall:
    """Put sentence and wall together.

    Args:
        cameras: in their configured order.
        events: that are still going on, or that nobody has acknowledged; newest first, no tests.
        speech: of the page.
        now_mono_s: the clock of the looks.
        calm_note: what stands below a calm sentence.
        is_blindfolded: events cannot be read, as the note says: then nobody may say that no fire is seen.
    """
    by_camera: dict[str, EventRecord] = {}
    for event in sorted(events, key=_urgency):
        by_camera.setdefault(event.event.camera, event)
    titles = {camera.name: camera.title for camera in cameras}
    tiles = [
        _tile(c, by_camera.get(c.name), speech, now_mono_s) for c in _on_wall(cameras, now_mono_s)
    ]
    tiles.sort(key=_rank)
    return Wall(
        sentence=_sentence(
            tiles, sorted(events, key=_urgency), titles, speech, calm_note, is_blindfolded
        ),
        tiles=tuple(tiles),
        is_alarm=any(tile.fire for tile in tiles),
    )


def is_watching(camera: CameraNow, now_mono_s: float) -> bool:
    """Tell whether a camera does its work: pictures come, and nothing is wrong with them."""
    return (
        camera.look is not None
        and not _blinding(camera)
        and not camera.has_ended
        and now_mono_s - camera.look.at_mono_s <= _STALE_S
    )


def _blinding(camera: CameraNow) -> Trouble | None:
    return next(
        (t for t in camera.troubles if t.kind in (TroubleKind.CAMERA, TroubleKind.VIEW)), None
    )


def _on_wall(cameras: Sequence[CameraNow], now_mono_s: float) -> list[CameraNow]:
    return [
        c
        for c in cameras
        if c.is_configured or (c.look and now_mono_s - c.look.at_mono_s < _PUSHED_GONE_S)
    ]


def _urgency(event: EventRecord) -> tuple[bool, int, float]:
    order = (Severity.FIRE, Severity.SMOKE, Severity.UNCERTAIN).index(event.event.severity)
    return event.acknowledged is not None, order, -event.event.opened_at.timestamp()


def _rank(tile: Tile) -> int:
    if tile.fire:
        return 0
    return {"smoke": 1, "doubt": 2, "trouble": 3}.get(tile.state, 4)


def _tile(camera: CameraNow, event: EventRecord | None, speech: Speech, now_mono_s: float) -> Tile:
    look = camera.look
    is_hero = event is not None and event.event.severity is Severity.FIRE
    state, word, icon = _state(camera, event, speech, now_mono_s)
    is_blind = state == "trouble"
    message, small = (
        _message(camera, speech, now_mono_s) if is_blind or look is None else (None, None)
    )
    age_s = 0.0 if look is None else now_mono_s - look.at_mono_s
    share = (
        "–"
        if is_blind or look is None or look.verdict is None
        else speech.percent(look.verdict.edge.presence)
    )
    width = _HERO_WIDTH_PX if is_hero else _TILE_WIDTH_PX
    return Tile(
        name=camera.name,
        title=camera.title,
        href=_href(camera, event, is_blind=is_blind),
        state="fire" if is_hero else state,
        word=word,
        icon=icon,
        chip=_chip(event, speech),
        message=message,
        small=small,
        picture=None
        if look is None
        else f"/ui/cameras/{camera.name}.jpg?frame={look.frame.frame_id}&width={width}",
        width_px=look.frame.picture.width_px if look else 16,
        height_px=look.frame.picture.height_px if look else 9,
        boxes=_boxes(look) if event is not None and not is_blind else (),
        age=speech.age(age_s),
        seen_s=round(speech.now.timestamp() - age_s, 3),
        share=share,
        spark=spark(look.history if look else (), now_mono_s, camera.ask_at),
        spark_label=_spark_label(camera, speech),
        fire=show_fire(event, look, camera.title, speech)
        if event is not None and is_hero
        else None,
    )


def _state(
    camera: CameraNow, event: EventRecord | None, speech: Speech, now_mono_s: float
) -> tuple[str, Markup, str]:
    trouble = _blinding(camera)
    if trouble is not None:
        icon = "frozen" if trouble.code == "frozen" else "trouble"
        return "trouble", trouble_word(trouble, speech), icon
    if camera.look is None:
        return "", speech.t("state.starting"), "clock"
    if camera.has_ended:
        return "trouble", speech.t("state.ended"), "trouble"
    if camera.is_configured and now_mono_s - camera.look.at_mono_s > _STALE_S:
        return "trouble", speech.t("state.lost"), "trouble"
    if event is not None and event.event.severity is not Severity.FIRE:
        kind = severity_class(event.event.severity)
        return kind, speech.t(f"state.{event.event.severity.value}"), kind
    if not camera.is_configured:
        return "", speech.t("state.pushed"), "eye"
    return "", speech.t("state.watching"), "eye"


def trouble_word(trouble: Trouble, speech: Speech) -> Markup:
    """Say a trouble in a word or two."""
    return speech.known(
        f"trouble.{trouble.kind.value}_{trouble.code}", trouble.code.replace("_", " ")
    )


def _message(camera: CameraNow, speech: Speech, now_mono_s: float) -> tuple[Markup, Markup]:
    trouble, look = _blinding(camera), camera.look
    word = (
        trouble_word(trouble, speech)
        if trouble
        else speech.t("state.ended" if camera.has_ended else "state.lost")
    )
    if look is None:
        return word if trouble else speech.t("state.starting"), speech.t("now.no_picture_yet")
    if trouble is not None and trouble.code == "frozen":
        span = speech.duration((speech.now - trouble.since).total_seconds())
        return word, speech.t("now.unchanged", span=span)
    span = speech.duration(now_mono_s - look.at_mono_s)
    return word, speech.t("now.last_picture", span=span)


def _href(camera: CameraNow, event: EventRecord | None, *, is_blind: bool) -> str:
    if event is not None:
        return f"/ui/events/{event.event.event_id}"
    return "/ui/health" if is_blind else f"/ui/events?camera={camera.name}"


def _chip(event: EventRecord | None, speech: Speech) -> tuple[str, Markup] | None:
    if event is None:
        return None
    return severity_class(event.event.severity), event_words(event, speech)


def _boxes(look: Look | None) -> tuple[DrawnBox, ...]:
    if look is None or look.verdict is None:
        return ()
    picture = look.frame.picture
    return tuple(drawn(d, picture.width_px, picture.height_px, "") for d in look.verdict.detections)


def _spark_label(camera: CameraNow, speech: Speech) -> Markup:
    history = camera.look.history if camera.look else ()
    if not history:
        return speech.t("now.spark_none")
    now, peak = history[-1].presence, max(m.presence for m in history)
    said = {"now": speech.percent(now), "peak": speech.percent(peak)}
    if camera.ask_at is None:
        return speech.t("now.spark_free", **said)
    return speech.t("now.spark", **said, price=speech.percent(camera.ask_at))


def _sentence(
    tiles: Sequence[Tile],
    events: Sequence[EventRecord],
    titles: dict[str, str],
    speech: Speech,
    calm_note: Markup,
    is_blindfolded: bool,
) -> Sentence:
    red = [e for e in events if is_red(e)]
    if red:
        return _event_sentence("fire", red, titles, speech)
    burning = [e for e in events if e.event.severity is Severity.FIRE]
    if burning:
        return _event_sentence("seen", burning, titles, speech)
    if events:
        worst = events[0].event.severity
        same = [e for e in events if e.event.severity is worst]
        return _event_sentence(severity_class(worst), same, titles, speech)
    if is_blindfolded:
        return Sentence(
            kind="calm",
            headline=calm_note,
            more=speech.t("now.look_at_health"),
            events=(),
            href=None,
            icon="trouble",
            is_alert=False,
        )
    return _calm_sentence(tiles, speech, calm_note)


def _event_sentence(
    kind: str, events: Sequence[EventRecord], titles: dict[str, str], speech: Speech
) -> Sentence:
    first = events[0]
    names = list(dict.fromkeys(titles.get(e.event.camera, e.event.camera) for e in events))
    if first.event.severity is Severity.FIRE and len(names) > 1:
        joint = "、" if speech.is_chinese else ", "
        headline = speech.t("now.fires", n=len(names), names=joint.join(names))
    else:
        headline = speech.t(f"now.{first.event.severity.value}", name=names[0])
    return Sentence(
        kind=kind,
        headline=headline,
        more=how_it_stands(first, speech),
        events=tuple(e.event.event_id for e in events if e.acknowledged is None),
        href=f"/ui/events/{first.event.event_id}",
        icon="fire" if kind in ("fire", "seen") else kind,
        is_alert=kind == "fire",
    )


def how_it_stands(record: EventRecord, speech: Speech) -> Markup:
    """Say since when, what came first, who decided, who has seen it."""
    event = record.event
    began_at = record.began_at
    if event.closed_at is None:
        span = speech.duration((speech.now - began_at).total_seconds())
        parts = [
            speech.t("now.burning" if event.severity is Severity.FIRE else "now.seen", span=span)
        ]
        key = "now.began_at" if record.origin else "now.opened_at"
        parts.append(speech.t(key, at=speech.moment(began_at)))
    else:
        span = speech.duration((event.last_seen_at - began_at).total_seconds())
        parts = [speech.t("now.was", span=span, at=speech.moment(event.last_seen_at))]
    is_checked = event.grade.value == "confirmed"
    parts.append(speech.t("now.confirmed" if is_checked else "now.edge_only"))
    if record.acknowledged is not None:
        seen = record.acknowledged
        parts.append(speech.t("now.acknowledged_by", by=seen.by, at=speech.moment(seen.at)))
    return speech.sentences(parts)


def _calm_sentence(tiles: Sequence[Tile], speech: Speech, calm_note: Markup) -> Sentence:
    up = sum(tile.state != "trouble" and tile.picture is not None for tile in tiles)
    if not tiles:
        key = "now.no_cameras"
    elif up == len(tiles):
        key = "now.all"
    else:
        key = "now.some" if up else "now.none_up"
    is_calm = bool(tiles) and up == len(tiles)
    return Sentence(
        kind="calm",
        headline=speech.t(key, n=len(tiles), up=up),
        more=calm_note if is_calm or not tiles else speech.t("now.look_at_health"),
        events=(),
        href=None,
        icon="eye" if is_calm else "trouble",
        is_alert=False,
    )

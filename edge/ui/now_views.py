"""The page *Now* with its live parts, and the cameras' small pictures. Ring: rim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, request
from markupsafe import Markup

from edge.record.types import EventQuery, EventRecord
from edge.ui.kit import Kit, calling, or_none
from edge.ui.now_model import CameraNow, Wall, is_watching, show_wall
from edge.ui.speech import Speech
from edge.ui.thumbs import Thumbnails
from edge.ui.vitals_model import Vital, show_vitals
from shared.error_code import ErrorCode
from shared.errors import FireError
from shared.watch.trouble import Trouble, TroubleKind

WIDTHS_PX = (160, 320, 480, 640, 960)
"""Widths in which pictures are given; a few, so that they are made once."""


def add_now(console: Blueprint, kit: Kit) -> None:
    """Add the page, its live part, and the cameras' pictures."""
    thumbs = Thumbnails()

    @console.get("/")
    def show_now() -> Response:
        return _page(kit, "now.html")

    @console.get("/ui/now")
    def update_now() -> Response:
        return _page(kit, "now_update.html")

    @console.get("/ui/pulse")
    def update_counts() -> Response:
        return kit.render("counts.html", kit.speech(), title="", current="")

    @console.get("/ui/cameras/<name>.jpg")
    def camera_picture(name: str) -> Response:
        look = kit.parts.live.look(name)
        if look is None:
            raise FireError(ErrorCode.HTTP_NOT_FOUND, "this camera has not given a picture yet")
        width_px = request.args.get("width", 480, type=int)
        if width_px not in WIDTHS_PX:
            raise FireError(ErrorCode.HTTP_NOT_FOUND, f"widths are {WIDTHS_PX}")
        frame = look.frame
        response = Response(
            thumbs.get(frame.frame_id, frame.picture, width_px), content_type="image/jpeg"
        )
        is_asked_for = request.args.get("frame") == frame.frame_id
        response.headers["Cache-Control"] = "private, max-age=120" if is_asked_for else "no-store"
        return response


def _page(kit: Kit, template: str) -> Response:
    speech = kit.speech()
    now_mono_s = kit.parts.clock.mono_s()
    troubles = kit.parts.supervisor.active()
    cameras = cameras_now(kit, troubles)
    events = calling(kit)
    wall = show_wall(
        cameras,
        events or (),
        speech,
        now_mono_s=now_mono_s,
        calm_note=_calm_note(kit, speech, events),
        is_blindfolded=events is None,
    )
    return kit.render(
        template,
        speech,
        title=_title(wall, speech),
        current="now",
        wall=wall,
        vitals=_vitals(kit, cameras, troubles, speech, now_mono_s),
        has_cameras=bool(kit.settings.cameras),
    )


def cameras_now(kit: Kit, troubles: Sequence[Trouble]) -> list[CameraNow]:
    """Tell what is known of every camera, the configured ones in their order first."""
    states: list[dict[str, Any]] = or_none(kit.status.camera_states) or []
    known = {state["name"]: state for state in states}
    pushed = [name for name in kit.parts.live.cameras() if name not in known]
    return [
        CameraNow(
            name=name,
            title=kit.title_of(name),
            look=kit.parts.live.look(name),
            ask_at=known[name]["ask_at"] if name in known else None,
            has_ended=name in known and known[name]["ended"],
            is_configured=name in known,
            troubles=tuple(t for t in troubles if t.subject == name),
        )
        for name in (*known, *sorted(pushed))
    ]


def _vitals(
    kit: Kit,
    cameras: Sequence[CameraNow],
    troubles: Sequence[Trouble],
    speech: Speech,
    now_mono_s: float,
) -> tuple[Vital, ...]:
    configured = [camera for camera in cameras if camera.is_configured]
    away = next((t for t in troubles if t.kind is TroubleKind.LINK), None)
    return show_vitals(
        up=sum(is_watching(camera, now_mono_s) for camera in configured),
        configured=len(configured),
        link=kit.parts.link(),
        away_s=(speech.now - away.since).total_seconds() if away else None,
        budget=or_none(kit.status.policy_status),
        evidence=or_none(kit.parts.forecast),
        speech=speech,
    )


def _calm_note(kit: Kit, speech: Speech, calling_now: Sequence[EventRecord] | None) -> Markup:
    """Say since when it has been quiet, or that events cannot be read."""
    if calling_now is None:
        return speech.t("page.away_records")
    page = or_none(lambda: kit.parts.records.events(EventQuery(limit=1)))
    if page is None or not page.events:
        quiet = speech.t("now.never")
    else:
        quiet = speech.t("now.quiet_since", at=speech.moment(page.events[0].event.last_seen_at))
    tests = sorted(kit.parts.selftest.results(), key=lambda result: result.began_at)
    if not tests:
        return quiet
    key = "now.test_passed" if tests[-1].is_passed else "now.test_failed"
    return speech.sentences([quiet, speech.t(key, at=speech.moment(tests[-1].began_at))])


def _title(wall: Wall, speech: Speech) -> Markup:
    return wall.sentence.headline if wall.sentence.kind != "calm" else speech.t("page.now")

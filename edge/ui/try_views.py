"""The page *Try*: one picture through the whole line. Ring: rim."""

from __future__ import annotations

import base64
import time
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from edge.caller import caller
from edge.ui.kit import Kit, is_fragment, or_none
from edge.ui.speech import Speech
from edge.ui.try_model import Tried, show_tried
from shared.error_code import ErrorCode
from shared.errors import FireError, RequestError
from shared.picture.imaging import read_picture
from shared.picture.shrink import shrink
from shared.types import Picture
from shared.ui.failure import explain

_SHOWN_WIDTH_PX = 880  # two pictures side by side on a desk; about 100 kB


def add_try(console: Blueprint, kit: Kit) -> None:
    """Add the page and what it posts to."""

    def page(speech: Speech, status: int = 200, **values: Any) -> Response:
        cameras = [{"name": name, "title": kit.title_of(name)} for name in kit.settings.cameras]
        shown = {"result": None, "failure": None, "picture_uri": "", "chosen": "", **values}
        return kit.render(
            "tried.html" if is_fragment() else "try.html",
            speech,
            title=speech.t("page.try"),
            current="try",
            status=200 if is_fragment() else status,
            cameras=cameras,
            max_size=speech.size(kit.settings.limits.max_bytes),
            **shown,
        )

    @console.get("/ui/try")
    def show_try() -> Response:
        return page(kit.speech())

    @console.post("/ui/try/picture")
    def try_picture() -> Response:
        speech = kit.speech()
        try:
            picture, read_s = _posted(kit)
            tried = _try(kit, picture, read_s)
        except FireError as err:
            return page(speech, status=err.code.row.http_status, failure=explain(err, speech))
        small = shrink(picture, _SHOWN_WIDTH_PX)
        return page(
            speech,
            result=show_tried(tried, speech),
            picture_uri="data:image/jpeg;base64," + base64.b64encode(small).decode(),
            chosen=request.form.get("camera", ""),
        )


def _posted(kit: Kit) -> tuple[Picture, float]:
    """Take the posted file, or a camera's newest frame; tells also how long reading it took."""
    try:
        camera, files = request.form.get("camera"), request.files.getlist("image")
    except RequestEntityTooLarge as err:
        raise RequestError(ErrorCode.HTTP_BODY_TOO_LARGE, str(err.description)) from err
    except HTTPException as err:
        raise RequestError(ErrorCode.REQUEST_FIELD_INVALID, str(err.description)) from err
    if camera is not None:
        look = kit.parts.live.look(camera)
        if look is None:
            raise FireError(ErrorCode.CAMERA_UNAVAILABLE, "it has not given a picture yet")
        return look.frame.picture, 0.0
    encoded = files[0].read() if files else b""
    if not encoded and not (files and files[0].filename):
        raise RequestError(ErrorCode.REQUEST_FIELD_MISSING, "no file was chosen")
    begun_s = time.perf_counter()
    picture = read_picture(encoded, kit.settings.limits.image_limits())
    return picture, time.perf_counter() - begun_s


def _try(kit: Kit, picture: Picture, read_s: float) -> Tried:
    """Send a picture down the line as a frame without a camera: it has no history and leaves none."""
    line = kit.line
    until = line.deadline_in(None)
    verdict = line.joint(line.frame(picture, None), until, caller(), is_adaptive=False)
    return Tried(
        picture=picture,
        verdict=verdict,
        heat=or_none(lambda: kit.parts.heat(picture)),
        read_s=read_s,
        cost_micros=kit.settings.policy.cost_micros,
        edge_model=line.model.as_dict(),
    )

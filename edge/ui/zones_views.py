"""What the zone editor on *Settings* posts. Ring: rim."""

from __future__ import annotations

from urllib.parse import quote

from flask import Blueprint, Response, request

from edge.ui.kit import Kit, is_fragment
from edge.ui.zones_model import read_form
from shared.error_code import ErrorCode
from shared.errors import RequestError


def add_zones(console: Blueprint, kit: Kit) -> None:
    """Add the route that saves a camera's zones, or gives the camera back to the configuration."""

    @console.post("/ui/zones")
    def save_zones() -> Response:
        form = request.form
        camera, after = form.get("camera", ""), form.get("after", "")
        if not after.isascii() or not after.isdigit() or len(after) > 12:
            raise RequestError(ErrorCode.REQUEST_FIELD_INVALID, "after is no version")
        given = None if "give_back" in form else read_form(form)
        kit.parts.zones.save(camera, given, by=kit.visitor(), after=int(after))
        if is_fragment():  # the page is loaded anew and shows what holds
            return Response(status=204, headers={"HX-Refresh": "true"})
        to = f"/ui/settings?camera={quote(camera)}#zones"
        return Response(status=303, headers={"Location": to})

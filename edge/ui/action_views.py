"""What a person does from the pages: acknowledge events and troubles. Ring: rim."""

from __future__ import annotations

from flask import Blueprint, Response, request
from markupsafe import Markup

from edge.ui.kit import Kit, is_fragment
from shared.error_code import ErrorCode
from shared.errors import RequestError
from shared.ids import is_req_id
from shared.watch.trouble import TroubleKind

_MOST_AT_ONCE = 200


def add_actions(console: Blueprint, kit: Kit) -> None:
    """Add what the forms post to; without a script each leads back to its page."""

    @console.post("/ui/acknowledge")
    def acknowledge_events() -> Response:
        for event_id in request.form.getlist("event")[:_MOST_AT_ONCE]:
            kit.parts.acknowledge(event_id, by=kit.visitor())
        shown = request.form.get("back", "")
        back = f"/ui/events/{shown}" if is_req_id(shown) else "/"
        return done(kit, kit.speech().t("page.done_acknowledged"), back=back)

    @console.post("/ui/troubles/acknowledge")
    def acknowledge_trouble() -> Response:
        form = request.form
        try:
            kind = TroubleKind(form.get("kind", ""))
        except ValueError as err:
            raise RequestError(ErrorCode.REQUEST_FIELD_INVALID, "kind is not one of ours") from err
        kit.parts.supervisor.acknowledge(
            kind, form.get("subject", ""), form.get("code", ""), by=kit.visitor()
        )
        return done(kit, kit.speech().t("page.done_acknowledged"), back="/ui/health")


def done(kit: Kit, text: Markup, *, back: str, undo: tuple[str, str] | None = None) -> Response:
    """Answer a form: a message for a script, else the way back to the page.

    Args:
        kit: of the pages.
        text: what was done.
        back: where a page without scripts goes on.
        undo: event and the mark it had before, "" for none.
    """
    if not is_fragment():
        return Response(status=303, headers={"Location": back})
    return kit.render("toast.html", kit.speech(), title="", current="", text=text, undo=undo)

"""The cloud's pages. Ring: rim."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response, redirect, request
from jinja2 import StrictUndefined

from cloud.caller import lane, owner
from cloud.jobs.jobs import JobState
from cloud.routes import Inspector
from cloud.ui.fleet_model import show_edge
from cloud.ui.kit import ConsoleParts, Kit, is_fragment
from cloud.ui.queue_model import read_loads
from cloud.ui.trouble_model import show_troubles
from cloud.ui.try_model import Tried, show_tried
from shared.access.gate import who_says
from shared.errors import FireError
from shared.picture.imaging import read_picture
from shared.picture.shrink import shrink
from shared.trouble_routes import Seen
from shared.types import Reloaded
from shared.ui.assets import SHARED, add_assets
from shared.ui.failure import Failure, explain
from shared.ui.packing import pack
from shared.ui.speech import Speech
from shared.web import app as web
from shared.web import arguments, bodies
from shared.web.arguments import Posted

_SHOWN_WIDTH_PX = 960
_MAX_ID_CHARACTERS = 128


def add_console(app: Flask, inspector: Inspector, parts: ConsoleParts) -> None:
    """Add the pages at `/` and `/ui/…`."""
    console = Blueprint("console", "cloud.ui", template_folder="templates")
    console.after_request(pack)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    kit = Kit(parts)
    console.register_error_handler(FireError, lambda error: _show_failure(kit, error))
    add_assets(app, console, [SHARED])
    _add_try(console, kit, inspector)
    _add_watching(console, kit)
    _add_models(console, kit)
    app.register_blueprint(console)


def _add_try(console: Blueprint, kit: Kit, inspector: Inspector) -> None:
    limits = kit.parts.settings.limits
    most = min(limits.max_batch, kit.parts.settings.engine.places)

    def page(tried: list[Tried | Failure]) -> Response:
        speech = kit.speech()
        template = "tried.html" if is_fragment() else "try.html"
        size = speech.size(limits.max_bytes)
        return kit.render(
            template, speech, current="try", tried=tried, max_size=size, max_count=most
        )

    def look(posted: Posted, index: int, speech: Speech) -> Tried | Failure:
        try:
            picture = read_picture(posted.picture(index), limits.image_limits())
            inspector.count_more(lane(), 1 if index else 0)
            inspected = inspector.inspect(picture, inspector.deadline_in(None), caller=lane())
            return show_tried(inspected, picture, shrink(picture, _SHOWN_WIDTH_PX), speech)
        except FireError as err:
            return explain(err, speech)

    @console.get("/")
    def show_try() -> Response:
        return page([])

    @console.post("/ui/try")
    def try_pictures() -> Response:
        inspector.knock(lane(), needs_place=True)
        posted = bodies.read_posted(limits, several=True)
        arguments.check_batch(len(posted.pictures), most)
        speech = kit.speech()
        return page([look(posted, index, speech) for index in range(len(posted.pictures))])


def _add_watching(console: Blueprint, kit: Kit) -> None:
    parts = kit.parts

    @console.get("/ui/pulse")
    def show_pulse() -> Response:
        return kit.render("counts.html", kit.speech(), current="")

    @console.get("/ui/fleet")
    def show_fleet() -> Response:
        speech = kit.speech()
        edges = [show_edge(edge, speech) for edge in parts.fleet.edges()]
        template = "fleet_live.html" if is_fragment() else "fleet.html"
        return kit.render(template, speech, current="fleet", edges=edges, is_fragment=is_fragment())

    @console.get("/ui/queue")
    def show_queue() -> Response:
        speech, loads = kit.speech(), read_loads(parts.metrics.registry)
        template = "queue_live.html" if is_fragment() else "queue.html"
        return kit.render(
            template,
            speech,
            current="queue",
            troubles=show_troubles(parts.supervisor.active(), speech),
            waiting=_waiting(kit),
            places=parts.settings.engine.places,
            loads=loads,
            is_fragment=is_fragment(),
        )

    @console.post("/ui/troubles/acknowledge")
    def acknowledge_trouble() -> Response:
        given = {name: request.form.get(name, "") for name in ("kind", "subject", "code")}
        seen = arguments.validated(Seen, given)
        by = who_says("console")
        parts.supervisor.acknowledge(seen.kind, seen.subject, seen.code, by=by)
        return redirect("/ui/queue", 303)  # type: ignore[return-value] # werkzeug's base class

    @console.get("/ui/jobs")
    def show_jobs() -> Response:
        speech, loads = kit.speech(), read_loads(parts.metrics.registry)
        job_id = request.args.get("id", "")[:_MAX_ID_CHARACTERS].strip()
        job = parts.house.jobs.look(owner(), job_id) if job_id else None
        return kit.render(
            "jobs.html",
            speech,
            current="jobs",
            waiting=_waiting(kit),
            loads=loads,
            job_id=job_id,
            job=job,
            states=JobState,
        )


def _add_models(console: Blueprint, kit: Kit) -> None:
    house = kit.parts.house

    def page(note: Any = None) -> Response:
        return kit.render(
            "models.html", kit.speech(), current="models", models=house.models(), note=note
        )

    def told(done: Reloaded) -> Response:
        speech = kit.speech()
        key = "models.taken" if done.is_changed else "models.same"
        return page(speech.t(key, name=done.model.name, version=done.model.version))

    @console.get("/ui/models")
    def show_models() -> Response:
        return page()

    @console.post("/ui/models/reload")
    def reload_model() -> Response:
        return told(house.reload())

    @console.post("/ui/models/rollback")
    def roll_back() -> Response:
        return told(house.go_back())


def _waiting(kit: Kit) -> dict[str, int] | None:
    try:
        return dict(kit.parts.house.waiting())
    except FireError:
        return None


def _show_failure(kit: Kit, error: FireError) -> Response:
    speech = kit.speech()
    failure = explain(error, speech)
    template = "failure_part.html" if is_fragment() else "failure.html"
    status = error.code.row.http_status
    response = kit.render(template, speech, current="", status=status, failure=failure)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = web.retry_after(error.retry_after_s)
    return response

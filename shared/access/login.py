"""Signing in and out, who one is, and the audit lines. Ring: rim."""

from __future__ import annotations

import contextlib
import threading

from flask import Flask, Response, g, render_template, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.access.audit_log import MAX_LINES
from shared.access.gate import Gate
from shared.access.rate_limit import RateLimit
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import FireError, RequestError
from shared.roles import MAX_PASSWORD_CHARACTERS, Visitor, digest, is_password, safe_target
from shared.ui.assets import SHARED
from shared.web import app as web
from shared.web import arguments
from shared.web.answers import AuditAnswer, WhoAnswer
from shared.web.language import is_chinese
from shared.web.openapi import EMPTY, Reply, describes

_TRIES = 10
_TRIES_PER_S = 1 / 12  # five a minute from one address, and for one name, once ten were spent
_WAIT_S = 5.0
_MAX_FORM_BYTES = 4_096
_TAG = "Who asks"
_PAGE = {200: Reply(text="The page.", media_types=("text/html",))}


class AuditQuestion(BaseModel):
    """What `/audit` is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=50, ge=1, le=MAX_LINES, description="Most lines in the answer.")
    cursor: int | None = Field(
        default=None, ge=1, le=2**62, description="`next` of the answer before."
    )


class LoginQuestion(BaseModel):
    """What the sign-in page may be asked."""

    next: str = Field(default="/", max_length=1_000, description="Where to go afterwards.")
    ended: str = Field(default="", max_length=1, description="1 when a session has just ended.")


class LoginForm(BaseModel):
    """What `/login` is sent."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = Field(max_length=64)
    password: str = Field(max_length=MAX_PASSWORD_CHARACTERS, repr=False)
    next: str = Field(default="/", max_length=1_000)


class Desk:
    """Takes names and passwords: some tries a minute for an address and a name, one at a time for the machine."""

    def __init__(self, gate: Gate, clock: Clock) -> None:
        """Start with every caller's tries unspent."""
        self._gate = gate
        self._tries = RateLimit(clock, per_s=_TRIES_PER_S, burst=_TRIES, unit="sign-ins")
        self._one_at_a_time = threading.Lock()

    def sign_in(self, name: str, password: str) -> str:
        """Begin a session; returns its id.

        Raises:
            FireError(HTTP_RATE_LIMITED)
            RequestError(SIGN_IN_WRONG): no such name, or another password; nobody is told which.
        """
        self._tries.take(f"address {request.remote_addr}")
        self._tries.take(f"name {name}")
        user = self._gate.users.book().users.get(name)
        if not self._is_right(password, user.password if user else None) or user is None:
            self._gate.try_to_note("sign_in", "refused", name=name)
            raise RequestError(ErrorCode.SIGN_IN_WRONG, f"for the name {name!r}")
        self._gate.try_to_note("sign_in", "begun", name=name, role=user.role)
        return self._gate.sessions.begin(name, digest(user.password))

    def _is_right(self, password: str, kept: str | None) -> bool:
        """Compare; each costs 32 MB and 80 ms, so that many at once would be an attack of their own."""
        if not self._one_at_a_time.acquire(timeout=_WAIT_S):
            raise FireError(ErrorCode.HTTP_UNAVAILABLE, "too many sign in at once", retry_after_s=5)
        try:
            return is_password(password, kept)
        finally:
            self._one_at_a_time.release()


def add_login_routes(app: Flask, gate: Gate, clock: Clock) -> None:
    """Add `/login`, `/logout`, `/whoami` and `/audit`."""
    _add_page(app)
    _add_signing(app, gate, Desk(gate, clock))
    _add_lookup(app, gate)


def _add_page(app: Flask) -> None:
    @app.get("/login")
    @describes("Show the sign-in page.", tag=_TAG, says=_PAGE, query=LoginQuestion)
    def login_page() -> Response:
        return _page(safe_target(request.args.get("next")), None)

    @app.get("/login.css")
    @describes(
        "Give its style.", tag=_TAG, says={200: Reply(text="The style.", media_types=("text/css",))}
    )
    def login_style() -> Response:
        return Response((SHARED / "login.css").read_text("utf-8"), content_type="text/css")


def _add_signing(app: Flask, gate: Gate, desk: Desk) -> None:
    @app.post("/login")
    @describes(
        "Sign in; the answer sets the cookie of the session.",
        tag=_TAG,
        says={303: EMPTY},
        form=LoginForm,
    )
    def login() -> Response:
        gate.refuse_other_pages()
        form = _read_form()
        try:
            session_id = desk.sign_in(form.name, form.password)
        except FireError as err:
            response = _page(safe_target(form.next), err)
            return response if _wants_page() else web.error_response(err)
        with contextlib.suppress(FireError):  # where sessions are kept is away: it ends by itself
            gate.sessions.end(request.cookies.get(gate.cookie, ""))
        response = Response(status=303, headers={"Location": safe_target(form.next)})
        _set_cookie(response, gate, session_id)
        return response

    @app.post("/logout")
    @describes("Sign out.", tag=_TAG, says={303: EMPTY})
    def logout() -> Response:
        gate.sessions.end(request.cookies.get(gate.cookie, ""))
        response = Response(status=303, headers={"Location": "/login"})
        response.delete_cookie(gate.cookie, httponly=True, samesite="Strict")
        return response


def _add_lookup(app: Flask, gate: Gate) -> None:
    @app.get("/whoami")
    @describes("Tell who asks.", tag=_TAG, result=WhoAnswer)
    def whoami() -> Response:
        visitor: Visitor | None = g.get("visitor")
        if visitor is None:
            raise gate.missing()
        token = visitor.session.form_token if visitor.session else None
        return web.success({"name": visitor.name, "role": visitor.role, "csrf_token": token})

    @app.get("/audit")
    @describes(
        "List who changed what, and who looked at evidence.",
        tag=_TAG,
        result=AuditAnswer,
        query=AuditQuestion,
    )
    def audit() -> Response:
        asked = arguments.validated(AuditQuestion, request.args.to_dict())
        lines = gate.audit.newest(limit=asked.limit, before=asked.cursor)
        is_full = len(lines) == asked.limit
        return web.success({"lines": lines, "next": lines[-1]["number"] if is_full else None})


def _read_form() -> LoginForm:
    if (request.content_length or 0) > _MAX_FORM_BYTES:
        raise RequestError(ErrorCode.REQUEST_FIELD_INVALID, "the form is too long")
    if request.mimetype != "application/x-www-form-urlencoded":
        detail = f"got {request.mimetype or 'none'}, expected a form"
        raise RequestError(ErrorCode.REQUEST_CONTENT_TYPE, detail)
    try:
        return LoginForm.model_validate(request.form.to_dict())
    except ValidationError as err:
        named = ", ".join(str(p["loc"][0]) for p in err.errors(include_url=False))
        raise RequestError(ErrorCode.REQUEST_FIELD_INVALID, f"look at: {named}") from err


def _wants_page() -> bool:
    return request.headers.get("Accept", "").lstrip().startswith("text/html")


def _page(target: str, error: FireError | None) -> Response:
    row = error.code.row if error else None
    text = render_template(
        "login.html",
        target=target,
        error=row,
        has_ended=error is None and request.args.get("ended") == "1",
        is_chinese=is_chinese(),
        realm=request.host,
    )
    response = Response(text, status=row.http_status if row else 200)
    if error is not None and error.retry_after_s is not None:
        response.headers["Retry-After"] = web.retry_after(error.retry_after_s)
    return response


def _set_cookie(response: Response, gate: Gate, session_id: str) -> None:
    response.set_cookie(
        gate.cookie,
        session_id,
        httponly=True,
        samesite="Strict",
        secure=request.is_secure,
        path="/",
    )

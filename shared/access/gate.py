"""Stands before every route: who asks, may they, is it from our own page, is it written down. Ring: rim."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from typing import Any
from urllib.parse import quote, urlsplit

from flask import Flask, Response, g, redirect, request

from shared.access.audit_log import AuditLine, AuditLog
from shared.access.sessions import Sessions, SessionStore
from shared.access.users import Users
from shared.clock import Clock
from shared.config import AccessMode, AccessSection, ServerSection
from shared.error_code import ErrorCode
from shared.errors import ConfigError, FireError, RequestError, StoreError
from shared.logs import get_logger
from shared.roles import (
    Need,
    Role,
    Rules,
    Session,
    Visitor,
    comes_from_elsewhere,
    could_be_rebound,
    digest,
    is_same_secret,
    safe_target,
)

FORM_HEADER = "X-CSRF-Token"
FORM_FIELD = "csrf_token"
_READING = ("GET", "HEAD")
_ONE_LOOK_S = 300.0  # a slider through an event's frames is one look at it, not a hundred
_MOST_LOOKS = 10_000
_EVERYBODY = Rules(
    nothing=frozenset({"/health", "/healthz", "/readyz", "/version", "/errors", "/errors/<slug>"})
    | {"/errors.css", "/login", "/login.css", "/whoami"}
    | {"/openapi.json", "/docs", "/docs/rapidoc-min.js", "/docs/fields.js"},
    looks=frozenset({"/logout"}),
    changes=frozenset({"/audit"}),
)
_NOT_OURS = "this form is not of your session"
_WRONG_NAME = (
    "without users this service answers only by the names of this machine, such as 127.0.0.1"
)


class Gate:
    """The one place where a request is let in; `g.visitor` is who asks from then on."""

    def __init__(
        self,
        name: str,
        rules: Rules,
        *,
        users: Users,
        audit: AuditLog,
        access: AccessSection,
        server: ServerSection,
        clock: Clock,
        control_token: str | None = None,
        sessions: SessionStore | None = None,
    ) -> None:
        """Keep what to go by.

        Args:
            name: of the service, `edge` or `cloud`; part of its cookie's name, since cookies know no ports.
            rules: what the service's own routes need; health, errors and signing in are known here.
            users: who may sign in, and which tokens count.
            audit: where changes and looks at evidence are written down.
            access: how long sessions last, and whether anybody needs one.
            server: where the service listens, and which other web origins may call it.
            clock: for sessions.
            control_token: what the command line on this machine sends.
            sessions: where sessions are kept; None keeps them in memory, and a restart signs everybody out.
        """
        self._control_token = control_token
        self.rules = _merged(rules, _EVERYBODY, metrics_are_open=access.metrics_are_open)
        self._server = server
        self._access = access
        self._clock = clock
        self._looks: OrderedDict[tuple[str, ...], float] = OrderedDict()
        self._looks_lock = threading.Lock()
        self.cookie = f"emberlink_{name}"
        self.users = users
        self.audit = audit
        self.sessions = Sessions(
            clock,
            idle_s=access.session_idle_s,
            longest_s=access.session_longest_s,
            store=sessions,
        )

    def anonymous_role(self) -> Role | None:
        """Tell what somebody may do who does not say who they are; None: nothing."""
        match self._access.mode:
            case AccessMode.OPEN:
                return Role.ADMIN
            case AccessMode.REQUIRED:
                return None
            case AccessMode.AUTO:
                return Role.ADMIN if self.users.book().is_empty and self.is_local else None

    @property
    def is_local(self) -> bool:
        """Tell whether only this machine can reach the service, and no proxy hands on what others ask."""
        return self._server.is_local

    def is_open(self) -> bool:
        """Tell whether everybody may do everything, so that nothing about a request has to be checked."""
        return self.anonymous_role() is Role.ADMIN

    def signed(self) -> Visitor | None:
        """Find who signed this request; None where it is not signed. A service without signatures knows nobody."""
        return None

    def missing(self) -> FireError:
        """Give the error of a request that does not say whose it is."""
        detail = "no session and no token that is known came with this request"
        if self.users.book().is_empty:
            detail += (
                "; no user exists yet, `users add NAME --role admin` on this machine makes one"
            )
        return RequestError(ErrorCode.SIGN_IN_NEEDED, detail)

    def close(self) -> None:
        """Close the file of the audit, and end the watching of the users."""
        self.audit.close()
        self.users.close()

    def install(self, app: Flask) -> None:
        """Stand before all routes of an app, and give its pages the names `visitor` and `csrf_token`."""
        app.before_request(self._check)
        app.after_request(self._note_failure)
        app.context_processor(page_names)

    def note(self, action: str, outcome: str, *, name: str, role: str = "") -> None:
        """Write a line about this request.

        Raises:
            StoreError(STORE_UNAVAILABLE)
        """
        self.audit.add(
            AuditLine(
                name=name,
                role=role,
                address=request.remote_addr or "",
                action=action,
                subject=request.path,
                outcome=outcome,
                req_id=g.req_id,
            )
        )

    def try_to_note(self, action: str, outcome: str, *, name: str, role: str = "") -> None:
        """Write a line if the disk takes it: with a full disk somebody must still be able to see a fire."""
        try:
            self.note(action, outcome, name=name, role=role)
        except StoreError as err:
            get_logger().error("audit_line_lost", detail=err.detail, req_id=g.req_id)

    def refuse_other_pages(self) -> None:
        """Refuse a change that a browser sends for somebody else's page.

        Raises:
            RequestError(FORGED_CHANGE)
        """
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
        host = request.headers.get("Host", "")
        is_allowed = origin in self._server.cors_origins
        if not is_allowed and comes_from_elsewhere(origin=origin, site=site, host=host):
            detail = f"it comes from a page of {str(origin or site)[:80]!r}"
            raise RequestError(ErrorCode.FORGED_CHANGE, detail)

    def _check(self) -> Response | None:
        if request.method == "OPTIONS":
            return None
        rule = request.url_rule.rule if request.url_rule else ""
        is_reading = request.method in _READING
        need = self.rules.need(rule, is_reading=is_reading)
        try:
            visitor = self._visitor()
        except FireError:
            if need is Need.NOTHING:  # a cookie or token that is over keeps nobody from signing in
                return None
            raise
        g.visitor = visitor
        if need is Need.NOTHING:
            return None
        if visitor is None:
            return self._ask_to_sign_in()
        if rule and not visitor.role.may(need):
            if not visitor.is_known and not self.users.book().is_empty:
                return self._ask_to_sign_in()
            self._refuse(visitor, need)
        if not is_reading:
            self._refuse_forged(visitor)
        self._write_down(visitor, need, rule, is_reading=is_reading)
        return None

    def _visitor(self) -> Visitor | None:
        signed = self.signed()
        if signed is not None:
            return signed
        bearer = self._bearer()
        if bearer is not None:
            return bearer
        session = self._session()
        if session is not None:
            return session
        role = self.anonymous_role()
        if role is None:
            return None
        if self.is_local and could_be_rebound(request.headers.get("Host", "")):
            raise RequestError(ErrorCode.SIGN_IN_NEEDED, _WRONG_NAME)
        return Visitor(name="local", role=role, is_known=False)

    def _bearer(self) -> Visitor | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        if self._control_token and is_same_secret(token, self._control_token):
            return Visitor(name="command-line", role=Role.ADMIN)
        return self.users.book().bearer(token)

    def _session(self) -> Visitor | None:
        session_id = request.cookies.get(self.cookie)
        session = self.sessions.find(session_id) if session_id else None
        if session is None:
            return None
        user = self.users.book().users.get(session.name)
        if user is None or digest(user.password) != session.kept:
            with contextlib.suppress(FireError):  # it is refused the next time, too
                self.sessions.end(session_id or "")
            return None
        return Visitor(name=session.name, role=user.role, session=session)

    def _ask_to_sign_in(self) -> Response:
        if request.headers.get("HX-Request") == "true":
            return Response(status=401, headers={"HX-Redirect": _back_to("HX-Current-URL")})
        if request.headers.get("Accept", "").lstrip().startswith("text/html"):
            if request.method == "GET":
                target = request.full_path.rstrip("?")
                return redirect(f"/login?next={quote(target)}", 303)  # type: ignore[return-value] # a werkzeug response
            if request.referrer:  # a form of a page that was open for longer than its session
                return redirect(_back_to("Referer"), 303)  # type: ignore[return-value] # as above
        raise self.missing()

    def _refuse(self, visitor: Visitor, need: Need) -> None:
        if need is Need.CHANGE:
            self._note_outcome(visitor, "refused")
        detail = f"{visitor.name} is {visitor.role.value}; this needs one who may {need.value}"
        raise RequestError(ErrorCode.NOT_ALLOWED, detail)

    def _refuse_forged(self, visitor: Visitor) -> None:
        is_program = visitor.is_known and visitor.session is None
        if is_program:
            return
        self.refuse_other_pages()
        if visitor.session is not None and not is_same_secret(
            _form_token(), visitor.session.form_token
        ):
            raise RequestError(ErrorCode.FORGED_CHANGE, _NOT_OURS)

    def _write_down(self, visitor: Visitor, need: Need, rule: str, *, is_reading: bool) -> None:
        if not is_reading and need is Need.CHANGE and rule:
            self.note(f"{request.method} {rule}", "begun", name=visitor.name, role=visitor.role)
            g.audited = visitor
        elif is_reading and rule in self.rules.evidence and self._is_new_look(visitor, rule):
            self._note_outcome(visitor, "seen")

    def _note_failure(self, response: Response) -> Response:
        visitor: Visitor | None = g.get("audited")
        if visitor is not None and response.status_code >= 400:
            self._note_outcome(visitor, "failed")
        return response

    def _note_outcome(self, visitor: Visitor, outcome: str) -> None:
        rule = request.url_rule.rule if request.url_rule else ""
        action = f"{request.method} {rule}"
        self.try_to_note(action, outcome, name=visitor.name, role=visitor.role)

    def _is_new_look(self, visitor: Visitor, rule: str) -> bool:
        subject = next(iter((request.view_args or {}).values()), "")
        look = (visitor.name, request.remote_addr or "", rule, str(subject))
        now_mono_s = self._clock.mono_s()
        with self._looks_lock:
            seen_mono_s = self._looks.get(look)
            if seen_mono_s is not None and now_mono_s - seen_mono_s < _ONE_LOOK_S:
                return False
            self._looks[look] = now_mono_s
            self._looks.move_to_end(look)
            while len(self._looks) > _MOST_LOOKS:
                self._looks.popitem(last=False)
        return True


def who_says(given: str) -> str:
    """Name who makes a change: the one who signed in or has the token, else whoever the request itself names."""
    visitor: Visitor | None = g.get("visitor")
    return visitor.name if visitor is not None and visitor.is_known else given


def page_names() -> dict[str, Any]:
    """Give templates who looks and the token that forms and htmx (`X-CSRF-Token`) send; "" where none is needed."""
    visitor: Visitor | None = g.get("visitor")
    session: Session | None = visitor.session if visitor else None
    return {"visitor": visitor, "csrf_token": session.form_token if session else ""}


def refuse_without_users(access: AccessSection, server: ServerSection, users: Users) -> None:
    """Stop a service that others can reach, that has no users, and of which nobody said that this is meant.

    Raises:
        ConfigError(CONFIG_INVALID)
    """
    is_closed = server.is_local or not users.book().is_empty
    if access.mode is AccessMode.AUTO and not is_closed:
        where = (
            f"server.host is {server.host}"
            if server.trusted_proxy is None
            else f"server.trusted_proxy is {server.trusted_proxy}"
        )
        detail = (
            f"{where}, and nobody can sign in: make a user with `users add NAME --role admin` or a token with "
            '`tokens add NAME`, listen on 127.0.0.1 without a proxy, or set access.mode = "open"'
        )
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail)


def _form_token() -> str:
    given = request.headers.get(FORM_HEADER)
    if given is not None:
        return given
    is_form = request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data")
    return request.form.get(FORM_FIELD, "") if is_form else ""


def _merged(own: Rules, common: Rules, *, metrics_are_open: bool) -> Rules:
    return Rules(
        nothing=own.nothing | common.nothing | ({"/metrics"} if metrics_are_open else frozenset()),
        asks=own.asks,
        looks=own.looks | common.looks,
        changes=own.changes | common.changes,
        evidence=own.evidence,
        nothing_below=own.nothing_below,
    )


def _back_to(header: str) -> str:
    """Give the sign-in page's address that leads back to the page which a header names."""
    page = urlsplit(request.headers.get(header, ""))
    target = safe_target(f"{page.path}?{page.query}".rstrip("?"))
    return f"/login?ended=1&next={quote(target)}"

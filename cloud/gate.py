"""Who may ask the cloud: edges sign their requests, people sign in, programs send tokens. Ring: rim."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import assert_never

from flask import g, request

from cloud.config import AuthMode, CloudSettings
from cloud.fleet.keys import ADMIN, KeyRing, read_keys
from shared.access.audit_log import AuditLog
from shared.access.auth import Signed, Verifier
from shared.access.gate import Gate
from shared.access.sessions import SessionStore
from shared.access.users import Users, read_users
from shared.clock import Clock
from shared.config import AccessMode
from shared.error_code import ErrorCode
from shared.errors import ConfigError, FireError, RequestError
from shared.roles import Role, Rules, Visitor
from shared.web import bodies

RULES = Rules(
    asks=frozenset(
        {
            "/infer",
            "/infer/batch",
            "/infer/async",
            "/infer/result/<job_id>",
            "/fire_detector",
            "/edges/heartbeat",
            "/models/edge/latest",
            "/models/edge/files/<sha256>",
        }
    ),
    looks=frozenset({"/ui/try"}),  # it keeps nothing
)


class CloudGate(Gate):
    """Lets signed requests in, too; `g.edge_id` names who signed, and is missing when nobody did."""

    def __init__(
        self,
        settings: CloudSettings,
        *,
        users: Users,
        keys: KeyRing,
        verifier: Verifier,
        must_sign: Callable[[], bool],
        sessions: SessionStore,
        clock: Clock,
    ) -> None:
        """Keep what to go by; `must_sign` tells whether a request without signature may ask at all."""
        super().__init__(
            "cloud",
            RULES,
            users=users,
            audit=AuditLog(settings.state / "audit.sqlite3", clock),
            access=settings.access,
            server=settings.server,
            clock=clock,
            sessions=sessions,
        )
        self._keys = keys
        self._verifier = verifier
        self._must_sign = must_sign

    def signed(self) -> Visitor | None:
        """Check a signature that was sent, also where none is needed."""
        if "Signature" not in request.headers:
            return None
        # As the caller sent it: Flask's path is decoded already.
        raw = request.environ.get("REQUEST_URI", request.path)
        raw_path, _, raw_query = raw.partition("?")
        g.edge_id = self._verifier.verify(
            Signed(
                method=request.method,
                path=raw_path,
                query=raw_query,
                signature_input=request.headers.get("Signature-Input"),
                signature=request.headers.get("Signature"),
                content_digest=request.headers.get("Content-Digest"),
                body=bodies.keep_body,
            )
        )
        return Visitor(name=g.edge_id, role=Role.ADMIN if g.edge_id == ADMIN else Role.SENDER)

    def anonymous_role(self) -> Role | None:
        """Tell what an unsigned request may do: less with every kind of visitor that can say who they are."""
        if self._must_sign() or self._access.mode is AccessMode.REQUIRED:
            return None
        if not self.users.book().is_empty and self._access.mode is AccessMode.AUTO:
            return Role.SENDER
        return Role.ADMIN if self._keys.is_empty else Role.GUEST

    def missing(self) -> FireError:
        """Give the error of a request that does not say whose it is."""
        if self._must_sign():
            detail = "Signature-Input, Signature and Content-Digest are needed, or a token in Authorization"
            return RequestError(ErrorCode.SIGNATURE_MISSING, detail)
        return super().missing()


def check_door(settings: CloudSettings, clock: Clock) -> bool:
    """Judge keys and users as they are on disk now; tells whether requests must be signed.

    Raises:
        ConfigError(CONFIG_INVALID): a file cannot be read, or see `refuse_open_door`.
    """
    read_keys(settings.keys_path)
    read_users(settings.users_path)
    with (
        closing(KeyRing(settings.keys_path, clock)) as keys,
        closing(Users(settings.users_path, clock)) as users,
    ):
        refuse_open_door(settings, keys, users)
        return must_sign(settings, keys)


def must_sign(settings: CloudSettings, keys: KeyRing) -> bool:
    """Decide whether requests must be signed; a key that is made while the service runs counts at once."""
    match settings.auth.mode:
        case AuthMode.SIGNED:
            return True
        case AuthMode.OPEN:
            return False
        case AuthMode.AUTO:
            return keys.has_edges or not settings.is_local
        case _:
            assert_never(settings.auth.mode)


def refuse_open_door(settings: CloudSettings, keys: KeyRing, users: Users) -> None:
    """Stop a service that the network can reach, that knows nobody, and of which nobody said that this is meant.

    Raises:
        ConfigError(CONFIG_INVALID)
    """
    is_known = keys.has_edges or not users.book().is_empty
    if settings.auth.mode is AuthMode.AUTO and not settings.is_local and not is_known:
        detail = (
            f"server.host is {settings.server.host}, and no edge has a key: make one with "
            '`emberlink-cloud keys new EDGE`, listen on 127.0.0.1, or set auth.mode = "open"'
        )
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail)

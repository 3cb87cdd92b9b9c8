"""Who may do what: roles, passwords, tokens, and changes that come from our own pages. Ring: domain."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

MIN_PASSWORD_CHARACTERS = 10
MAX_PASSWORD_CHARACTERS = 256
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_LOG2_N, _R, _P = 15, 8, 1  # 32 MB and some 80 ms a try; half of it halves what a guesser pays
_SCRYPT_BYTES = 64 * 1024 * 1024


class Need(StrEnum):
    """What a route needs."""

    NOTHING = "nothing"
    LOOK = "look"
    ASK = "ask"
    CHANGE = "change"


class Role(StrEnum):
    """What somebody may do; the values are words of the command line and the wire.

    `guest` cannot be given: it is everybody on this machine while the service has no users.
    """

    VIEWER = "viewer"
    SENDER = "sender"
    GUEST = "guest"
    ADMIN = "admin"

    def may(self, need: Need) -> bool:
        """Tell whether this role is enough."""
        return need in _MAY[self]


GIVEN_ROLES = (Role.VIEWER, Role.SENDER, Role.ADMIN)

_MAY = {
    Role.VIEWER: frozenset({Need.NOTHING, Need.LOOK}),
    Role.SENDER: frozenset({Need.NOTHING, Need.ASK}),
    Role.GUEST: frozenset({Need.NOTHING, Need.LOOK, Need.ASK}),
    Role.ADMIN: frozenset(Need),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks. `session` is None for a caller without a cookie; only a browser's changes need its form token.

    `is_known` is False for somebody who did not say who they are.
    """

    name: str
    role: Role
    session: Session | None = None
    is_known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the routes of a service need, by rule; what is not named needs LOOK to read and CHANGE to write.

    `evidence` are the routes whose every look is written down; the other sets name the need itself.
    """

    nothing: frozenset[str] = frozenset()
    asks: frozenset[str] = frozenset()
    looks: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    evidence: frozenset[str] = frozenset()
    nothing_below: tuple[str, ...] = ()

    def need(self, rule: str, *, is_reading: bool) -> Need:
        """Tell what a route needs; `rule` is the pattern, for instance `/events/<event_id>`."""
        if rule in self.nothing or rule.startswith(self.nothing_below):
            return Need.NOTHING
        if rule in self.asks:
            return Need.ASK
        if rule in self.looks:
            return Need.LOOK
        is_look = is_reading and rule not in self.changes
        return Need.LOOK if is_look else Need.CHANGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who signed in with a password; `form_token` stands in every form of the pages.

    `kept` is what was kept of the password then: another password, or none, ends the session.
    """

    name: str
    kept: str = field(repr=False)
    form_token: str = field(repr=False)
    began_at: datetime


def is_name(text: str) -> bool:
    """Tell whether somebody may be called this: 1…64 of `A-Za-z0-9._-`."""
    return _NAME.match(text) is not None


def new_secret() -> str:
    """Create 256 random bits, as 43 characters of base64url."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


def digest(secret: str) -> str:
    """Give what is kept of a random secret; a fast hash is enough for 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def hash_password(password: str) -> str:
    """Give what is kept of a password: scrypt (RFC 7914) with its parameters, salt and hash."""
    salt = os.urandom(16)
    key = _scrypt(password, salt, _LOG2_N, _R, _P)
    return f"scrypt${_LOG2_N}${_R}${_P}${_b64(salt)}${_b64(key)}"


def is_password_hash(text: str) -> bool:
    """Tell whether a text is what `hash_password` gives."""
    try:
        log2_n, r, p, salt, key = _parts(text)
    except ValueError:
        return False
    return 14 <= log2_n <= 16 and r == _R and p == _P and len(salt) >= 16 and len(key) == 32


def is_password(password: str, kept: str | None) -> bool:
    """Compare a password with what is kept; takes as long for nobody's (None) as for a wrong one."""
    log2_n, r, p, salt, key = _parts(kept or _nobodys_hash())
    is_same = hmac.compare_digest(_scrypt(password, salt, log2_n, r, p), key)
    return is_same and kept is not None


def is_same_secret(given: str, expected: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def comes_from_elsewhere(*, origin: str | None, site: str | None, host: str) -> bool:
    """Tell whether a browser sent a request for a page that is not ours.

    Args:
        origin: the header Origin, which browsers send with every POST; None where it was not sent.
        site: the header Sec-Fetch-Site.
        host: the header Host.
    """
    if origin is not None:
        try:
            return urlsplit(origin).netloc.lower() != host.lower()
        except ValueError:
            return True
    return site not in (None, "same-origin", "none")


def is_local_address(host: str) -> bool:
    """Tell whether an address to listen on is reached from this machine alone."""
    return host in ("127.0.0.1", "localhost", "::1")


@functools.lru_cache(maxsize=64)  # asked on every request; callers use a name or two
def could_be_rebound(host: str) -> bool:
    """Tell whether a header Host is a name that somebody else's name server may have pointed at this machine.

    Addresses, `localhost` and names without a dot cannot: a page of another site cannot have been loaded from them.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return True
    if name.startswith("[") or ":" in name or name.endswith(".localhost"):
        return False
    return "." in name.rstrip(".") and not name.replace(".", "").isdigit()


def safe_target(path: str | None) -> str:
    """Give a path of our own to go to after signing in; anything that leads elsewhere becomes `/`."""
    is_ours = path is not None and path.startswith("/") and not path.startswith(("//", "/\\"))
    return path if path is not None and is_ours and path.isprintable() else "/"


@functools.cache
def _nobodys_hash() -> str:
    return hash_password(new_secret())


def _scrypt(password: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    encoded = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(
        encoded, salt=salt, n=1 << log2_n, r=r, p=p, maxmem=_SCRYPT_BYTES, dklen=32
    )


def _parts(text: str) -> tuple[int, int, int, bytes, bytes]:
    name, log2_n, r, p, salt, key = text.split("$")
    if name != "scrypt":
        raise ValueError(name)
    return int(log2_n), int(r), int(p), base64.b64decode(salt), base64.b64decode(key)


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()

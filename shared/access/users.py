"""Who may sign in, and which tokens count, in one file that only the service's user can read. Ring: adapter (disk).

Of a password only its scrypt hash is kept, of a token only its digest; neither can be shown again.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from shared.access.secret_file import WatchedFile, alone_with, write_private
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import CommandError, ConfigError
from shared.roles import (
    GIVEN_ROLES,
    MAX_PASSWORD_CHARACTERS,
    MIN_PASSWORD_CHARACTERS,
    Role,
    Visitor,
    digest,
    hash_password,
    is_name,
    is_password_hash,
    new_secret,
)
from shared.watch.trouble import Trouble, TroubleKind

_REPAIR = (
    "Let the service's user read it. If it is damaged, move it away and make users and tokens anew with `users add` "
    "and `tokens add`, or restore a backup."
)


class _Kept(BaseModel):
    """Base of the file's parts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role

    @field_validator("role")
    @classmethod
    def _can_be_given(cls, role: Role) -> Role:
        if role not in GIVEN_ROLES:
            raise ValueError("is not a role that can be given")
        return role


class User(_Kept):
    """One person."""

    password: str = Field(repr=False)

    @field_validator("password")
    @classmethod
    def _is_hashed(cls, text: str) -> str:
        if not is_password_hash(text):
            raise ValueError("is not a scrypt hash as `users add` writes it")
        return text


class Token(_Kept):
    """One program."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)


class UserBook(BaseModel):
    """The whole file, by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    users: dict[str, User] = {}
    tokens: dict[str, Token] = {}

    @field_validator("users", "tokens")
    @classmethod
    def _have_names(cls, entries: dict[str, _Kept]) -> dict[str, _Kept]:
        if not all(is_name(name) for name in entries):
            raise ValueError("a name is 1…64 of A-Za-z0-9._-")
        return entries

    @property
    def is_empty(self) -> bool:
        """Tell whether nobody can sign in at all."""
        return not (self.users or self.tokens)

    def bearer(self, token: str) -> Visitor | None:
        """Find who has a token."""
        wanted = digest(token)
        for name, kept in self.tokens.items():
            if kept.digest == wanted:
                return Visitor(name=name, role=kept.role)
        return None


def users_unreadable(detail: str, now_at: datetime) -> Trouble:
    """Say that nobody new can sign in."""
    return Trouble(
        kind=TroubleKind.DISK,
        subject="",
        code="users_unreadable",
        cause=f"The file of users does not count; who was known before still is, others are kept out: {detail}",
        remedy=_REPAIR,
        since=now_at,
        figures={"detail": detail},
    )


class _ClosedBook(UserBook):
    """Stands for a file that cannot be read: there are users, and nobody knows who."""

    @property
    def is_empty(self) -> bool:
        """Tell that somebody could sign in, so that nobody comes in without."""
        return False


class Users:
    """The file as a running service sees it: a change counts within a second."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Read the file; a missing one holds nobody, one that cannot be read lets nobody in: a box watches on."""
        nobody: UserBook = _ClosedBook()
        self._file = WatchedFile(path, read_users, clock, fallback=nobody)

    def book(self) -> UserBook:
        """Give who there is now."""
        return self._file.value()

    def troubles(self, now_at: datetime) -> Iterator[Trouble]:
        """Name what is wrong with the file."""
        if detail := self._file.trouble():
            yield users_unreadable(detail, now_at)

    def close(self) -> None:
        """End the watching."""
        self._file.close()


def read_users(path: Path) -> UserBook:
    """Read the file; a missing one holds nobody.

    Raises:
        ConfigError(CONFIG_INVALID)
    """
    try:
        return UserBook.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return UserBook()
    except OSError as err:
        detail = f"users {path}: {err.strerror}"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail, remedy=_REPAIR) from err
    except ValidationError as err:
        problem = err.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        detail = f"users {path}: {where}: {problem['msg']}" if where else f"users {path}: not JSON"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail, remedy=_REPAIR) from err


def add_user(
    path: Path, name: str, role: Role, password: str, *, may_replace: bool = False
) -> None:
    """Add a person; one who is known gets a new password and role with `may_replace`.

    Raises:
        CommandError: the name or password cannot be used, or the name is known.
        ConfigError(CONFIG_INVALID): the file cannot be read or written.
    """
    _check_name(name)
    if not MIN_PASSWORD_CHARACTERS <= len(password) <= MAX_PASSWORD_CHARACTERS:
        detail = f"a password has {MIN_PASSWORD_CHARACTERS}…{MAX_PASSWORD_CHARACTERS} characters"
        raise CommandError(detail, "Choose another one.")
    user = User(role=role, password=hash_password(password))
    with alone_with(path):
        book = read_users(path)
        if name in book.users and not may_replace:
            what = f"{name} may sign in already, as {book.users[name].role.value}"
            raise CommandError(what, "Give a new password and role with --replace.")
        _write(path, book.model_copy(update={"users": {**book.users, name: user}}))


def add_token(path: Path, name: str, role: Role, *, may_replace: bool = False) -> str:
    """Add a program; one that is known gets a new token with `may_replace`. It is returned and kept nowhere.

    Raises:
        CommandError: the name cannot be used, or is known.
        ConfigError(CONFIG_INVALID): the file cannot be read or written.
    """
    _check_name(name)
    token = new_secret()
    with alone_with(path):
        book = read_users(path)
        if name in book.tokens and not may_replace:
            what = f"{name} has a token already, as {book.tokens[name].role.value}"
            remedy = "Take another name, or end that token and make a new one with --replace."
            raise CommandError(what, remedy)
        kept = Token(role=role, digest=digest(token))
        _write(path, book.model_copy(update={"tokens": {**book.tokens, name: kept}}))
    return token


def remove_user(path: Path, name: str) -> bool:
    """Take a person away; False: there was none of this name.

    Raises:
        ConfigError(CONFIG_INVALID)
    """
    return _remove(path, "users", name)


def remove_token(path: Path, name: str) -> bool:
    """Take a program's token away; False: there was none of this name.

    Raises:
        ConfigError(CONFIG_INVALID)
    """
    return _remove(path, "tokens", name)


def _remove(path: Path, kind: Literal["users", "tokens"], name: str) -> bool:
    if name not in getattr(read_users(path), kind):
        return False  # without a lock, which would make the folder of a path that was mistyped
    with alone_with(path):
        book = read_users(path)
        rest = {other: kept for other, kept in getattr(book, kind).items() if other != name}
        _write(path, book.model_copy(update={kind: rest}))
    return True


def _check_name(name: str) -> None:
    if not is_name(name):
        raise CommandError(f"{name[:70]!r} is no name", "A name is 1…64 of A-Za-z0-9._-")


def _write(path: Path, book: UserBook) -> None:
    write_private(path, book.model_dump_json(indent=1) + "\n")

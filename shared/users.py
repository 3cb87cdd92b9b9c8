"""Who may sign in, and which tokens count, in one file that only the service's user can read. Ring: adapter (disk).

Of a password only its scrypt hash is kept, of a token only its digest; neither can be shown again.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from shared.access import (
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
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import ConfigError
from shared.secret_file import WatchedFile, write_private


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


class Users:
    """The file as a running service sees it: a change counts within a second."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Read the file; a missing one holds nobody.

        Raises:
            ConfigError(CONFIG_INVALID): it is not ours to read, or not what the command line writes.
        """
        self._file = WatchedFile(path, read_users, clock)

    def book(self) -> UserBook:
        """Give who there is now."""
        return self._file.value()


def read_users(path: Path) -> UserBook:
    """Read the file; a missing one holds nobody.

    Raises:
        ConfigError(CONFIG_INVALID)
    """
    try:
        return UserBook.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return UserBook()
    except OSError as err:
        raise ConfigError(ErrorCode.CONFIG_INVALID, f"users {path}: {err.strerror}") from err
    except ValidationError as err:
        problem = err.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        detail = f"users {path}: {where}: {problem['msg']}"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail) from err


def add_user(path: Path, name: str, role: Role, password: str) -> None:
    """Add a person, or give one a new password and role.

    Raises:
        ConfigError(CONFIG_INVALID): the name or password cannot be used, or the file not written.
    """
    _check_name(name)
    if not MIN_PASSWORD_CHARACTERS <= len(password) <= MAX_PASSWORD_CHARACTERS:
        detail = f"a password has {MIN_PASSWORD_CHARACTERS}…{MAX_PASSWORD_CHARACTERS} characters"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail)
    book = read_users(path)
    user = User(role=role, password=hash_password(password))
    _write(path, book.model_copy(update={"users": {**book.users, name: user}}))


def add_token(path: Path, name: str, role: Role) -> str:
    """Add a program, or give one a new token; the token is returned and kept nowhere.

    Raises:
        ConfigError(CONFIG_INVALID)
    """
    _check_name(name)
    book, token = read_users(path), new_secret()
    kept = Token(role=role, digest=digest(token))
    _write(path, book.model_copy(update={"tokens": {**book.tokens, name: kept}}))
    return token


def remove_user(path: Path, name: str) -> bool:
    """Take a person away; False: there was none of this name.

    Raises:
        ConfigError(CONFIG_INVALID)
    """
    book = read_users(path)
    rest = {other: user for other, user in book.users.items() if other != name}
    _write(path, book.model_copy(update={"users": rest}))
    return name in book.users


def remove_token(path: Path, name: str) -> bool:
    """Take a program's token away; False: there was none of this name.

    Raises:
        ConfigError(CONFIG_INVALID)
    """
    book = read_users(path)
    rest = {other: token for other, token in book.tokens.items() if other != name}
    _write(path, book.model_copy(update={"tokens": rest}))
    return name in book.tokens


def _check_name(name: str) -> None:
    if not is_name(name):
        raise ConfigError(ErrorCode.CONFIG_INVALID, f"{name[:70]!r} is not 1…64 of A-Za-z0-9._-")


def _write(path: Path, book: UserBook) -> None:
    write_private(path, book.model_dump_json(indent=1) + "\n")

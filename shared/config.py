"""Settings from defaults, one TOML file, secret files, the environment and flags, later wins. Ring: adapter.

Every problem is reported at once, with where the value came from. Nothing reads the environment after this.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from shared.error_code import ErrorCode
from shared.errors import ConfigError
from shared.logs import redact
from shared.roles import is_local_address
from shared.types import ImageLimits

_DEFAULT_SECRETS_DIR = "/run/secrets"
_FIRST_FILE = "`emberlink-edge init` writes a first one for a box."
_SECRET_HINT = ("password", "secret", "token", "key", "webhook")

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class Section(BaseModel):
    """Base of every settings class: frozen, unknown keys are errors, no NaN."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )


class ServerSection(Section):
    """Where the service listens, and for whom."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 is every interface.")
    port: Port = Field(5000, description="TCP port; 0 lets the system choose.")
    threads: int = Field(
        24,
        ge=2,
        le=256,
        description="Request threads; keep above max_in_flight plus the cores, or callers that wait for the "
        "cloud hold up the others.",
    )
    cors_origins: tuple[str, ...] = Field(
        (),
        description="Web origins that may call from a browser, for instance https://console.example; none by default.",
    )
    max_body_bytes: int = Field(
        32_000_000,
        ge=10_000,
        le=512_000_000,
        description="Longest request body; refused before it is read.",
    )
    trusted_proxy: str | None = Field(
        None,
        pattern=r"^[0-9A-Fa-f.:]+$",
        description="Address of a proxy whose X-Forwarded-For and X-Forwarded-Proto are believed; it tells who asks "
        "and whether the browser sees TLS.",
    )
    stop_timeout_s: Seconds = Field(
        10.0, description="How long a stopping service finishes accepted work."
    )

    @property
    def is_local(self) -> bool:
        """Tell whether only this machine can reach the service, without a proxy that hands on what others ask."""
        return is_local_address(self.host) and self.trusted_proxy is None


class AccessMode(StrEnum):
    """Whether people and programs must say who they are."""

    AUTO = "auto"
    REQUIRED = "required"
    OPEN = "open"


class AccessSection(Section):
    """Who may look, ask and change."""

    mode: AccessMode = Field(
        AccessMode.AUTO,
        description="auto: everybody on this machine may do everything until there is a user or token, and without "
        "any the service starts on 127.0.0.1 only; required: nobody without one; open: everybody, from anywhere.",
    )
    users_file: Path | None = Field(
        None,
        description="Users and tokens as `users add` and `tokens add` write them; users.json in the state folder "
        "when unset.",
    )
    session_idle_s: float = Field(
        3_600.0, ge=60, le=2_592_000, description="A browser that asked for nothing is signed out."
    )
    session_longest_s: float = Field(
        43_200.0,
        ge=60,
        le=2_592_000,
        description="Everybody signs in again after this; raise it for a screen on a wall.",
    )
    metrics_are_open: bool = Field(
        True, description="/metrics needs no token; it tells counts and times, never a picture."
    )


class LimitsSection(Section):
    """Bounds on pictures, checked before any pixel is decoded."""

    max_bytes: int = Field(8_000_000, ge=1_000, le=100_000_000, description="Longest picture file.")
    max_pixels: int = Field(
        20_000_000, ge=10_000, le=200_000_000, description="Largest picture, width × height."
    )
    max_batch: int = Field(16, ge=1, le=256, description="Most pictures in one batch call.")

    def image_limits(self) -> ImageLimits:
        """Give the part that imaging needs."""
        return ImageLimits(max_bytes=self.max_bytes, max_pixels=self.max_pixels)


def shared_doubts(access: AccessSection, server: ServerSection, limits: LimitsSection) -> list[str]:
    """Name settings of either service that are legal, and yet probably not meant."""
    found = (
        (
            access.mode is AccessMode.OPEN and not server.is_local,
            "the service listens beyond this machine without authentication: access.mode is open",
        ),
        (
            access.session_idle_s > access.session_longest_s,
            "access.session_idle_s does nothing: session_longest_s ends a session before",
        ),
        (
            limits.max_bytes > server.max_body_bytes,
            "limits.max_bytes is above server.max_body_bytes: the largest pictures are refused all the same",
        ),
    )
    return [text for is_doubtful, text in found if is_doubtful]


class LogSection(Section):
    """What is written to stderr."""

    level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Least level that is written."
    )


S = TypeVar("S", bound=BaseModel)


def load_settings(
    settings_class: type[S],
    *,
    prefix: str,
    toml_path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> S:
    """Merge all places settings come from and validate the result once.

    Args:
        settings_class: the service's settings.
        prefix: of environment variables, for instance `EMBERLINK_EDGE`; `__` separates levels.
        toml_path: the service's TOML file; None takes the one that `<prefix>_CONFIG` names, if any.
        environ: None is the process's environment.
        flags: nested mapping of command-line values; None values are left out.

    Raises:
        ConfigError(CONFIG_INVALID): with every problem, one a line.
    """
    return load_traced(
        settings_class, prefix=prefix, toml_path=toml_path, environ=environ, flags=flags
    )[0]


def load_traced(
    settings_class: type[S],
    *,
    prefix: str,
    toml_path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> tuple[S, dict[tuple[str, ...], str]]:
    """Do as `load_settings`, and tell where each value that is no default came from, by its path."""
    environment = os.environ if environ is None else environ
    if toml_path is None and (named := environment.get(f"{prefix}_CONFIG")):
        toml_path = Path(named)
    layers = [
        (str(toml_path or "defaults"), _read_toml(toml_path)),
        ("secret file", _from_secret_files(prefix, environment)),
        ("environment", _from_environment(prefix, environment)),
        ("command line", _without_none(flags or {})),
    ]
    merged: dict[str, Any] = {}
    origins: dict[tuple[str, ...], str] = {}
    for origin, layer in layers:
        _merge(merged, layer, origin, origins)
    return validated(settings_class, merged, origins), origins


def validated(
    settings_class: type[S],
    given: Mapping[str, Any],
    origins: Mapping[tuple[str, ...], str] = MappingProxyType({}),
) -> S:
    """Make settings of plain values; `origins` tells where each came from, by its path.

    Raises:
        ConfigError(CONFIG_INVALID): with every problem, one a line.
    """
    try:
        return settings_class.model_validate(given)
    except ValidationError as err:
        problems = [_explain(problem, origins) for problem in err.errors(include_url=False)]
        raise ConfigError(ErrorCode.CONFIG_INVALID, "\n".join(problems)) from err


def holds_secret(value: Any) -> bool:
    """Tell whether settings hold a secret themselves, not only the name of a file with it."""
    if isinstance(value, BaseModel):
        return any(holds_secret(inner) for _, inner in value)
    if isinstance(value, Mapping):
        return any(holds_secret(inner) for inner in value.values())
    return isinstance(value, SecretStr)


def describe_settings(
    settings_class: type[BaseModel], path: str = ""
) -> list[tuple[str, str, str]]:
    """List every setting as (dotted name, default, description), for the reference page and its test."""
    rows: list[tuple[str, str, str]] = []
    for name, field in settings_class.model_fields.items():
        dotted = f"{path}{name}"
        inner = _settings_inside(field.annotation)
        if inner:
            is_table = field.annotation is not inner[0]
            for one in inner:
                described = describe_settings(
                    one, f"{dotted}.<name>." if is_table else f"{dotted}."
                )
                rows += [row for row in described if row not in rows]
            continue
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        shown = (
            "" if default is None else str(list(default) if isinstance(default, tuple) else default)
        )
        rows.append((dotted, shown, field.description or ""))
    return rows


def _settings_inside(annotation: Any) -> list[type[BaseModel]]:
    """Find the settings classes that a field holds: itself, the values of a table, or one of several kinds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _settings_inside(inner)]


def _read_toml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        remedy = f"Name the settings file with --config FILE; its reader needs read access. {_FIRST_FILE}"
        detail = f"{path}: {err.strerror}"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail, remedy=remedy) from err
    except UnicodeDecodeError as err:
        remedy = "Save it as UTF-8, or name another file with --config."
        detail = f"{path}: not a text file in UTF-8 ({err.reason} at byte {err.start})"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail, remedy=remedy) from err
    except tomllib.TOMLDecodeError as err:
        remedy = "Correct that line: a setting is `name = value`, a text stands in quotes."
        detail = f"{path}: {err}"
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail, remedy=remedy) from err


def _from_environment(prefix: str, environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in environ.items():
        if name.startswith(f"{prefix}__"):
            _put(found, name[len(prefix) + 2 :].lower().split("__"), _parse(text))
    return found


def _from_secret_files(prefix: str, environ: Mapping[str, str]) -> dict[str, Any]:
    folder = Path(environ.get("CREDENTIALS_DIRECTORY", _DEFAULT_SECRETS_DIR))
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        if path.name.lower().startswith(f"{prefix.lower()}__") and path.is_file():
            keys = path.name.lower()[len(prefix) + 2 :].split("__")
            _put(found, keys, read_secret(path))
    return found


def read_secret(path: Path) -> str:
    """Read a secret from its file, white space around it dropped.

    Raises:
        ConfigError(CONFIG_INVALID): unreadable, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as err:
        reason = err.strerror if isinstance(err, OSError) else "not UTF-8"
        raise ConfigError(ErrorCode.CONFIG_INVALID, f"secret file {path}: {reason}") from err


def _parse(text: str) -> Any:
    """Lists and tables are JSON; everything else stays text, which the settings class converts."""
    if text[:1] in "[{":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _put(tree: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = tree.setdefault(key, {})
        tree = inner if isinstance(inner, dict) else tree.update({key: {}}) or tree[key]
    tree[keys[-1]] = value


def _without_none(flags: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in flags.items():
        if isinstance(value, Mapping):
            inner = _without_none(value)
            if inner:
                kept[key] = inner
        elif value is not None:
            kept[key] = value
    return kept


def _merge(
    base: dict[str, Any],
    layer: Mapping[str, Any],
    origin: str,
    origins: dict[tuple[str, ...], str],
    path: tuple[str, ...] = (),
) -> None:
    for key, value in layer.items():
        here = (*path, key)
        if isinstance(value, Mapping) and isinstance(base.get(key, {}), dict):
            _merge(base.setdefault(key, {}), value, origin, origins, here)
        else:
            base[key] = value
            origins[here] = origin


def _explain(problem: Any, origins: Mapping[tuple[str, ...], str]) -> str:
    path = tuple(str(part) for part in problem["loc"])
    origin = next((origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins), None)
    place = f" (from {origin})" if origin else ""
    name = ".".join(path) or "settings"
    text = (
        "is not a known setting"
        if problem["type"] == "extra_forbidden"
        else problem["msg"].removeprefix("Value error, ")
    )
    return f"{name}: {text}{_shown_input(problem, path)}{place}"


def _shown_input(problem: Any, path: tuple[str, ...]) -> str:
    """Show a wrong value, but nothing that may hold a secret: tables, unknown settings, credentials in a URL."""
    value = problem["input"]
    is_secret = any(hint in part.lower() for part in path for hint in _SECRET_HINT)
    is_opaque = problem["type"] in ("missing", "extra_forbidden") or isinstance(value, Mapping)
    return "" if is_secret or is_opaque else f", got {redact(repr(value))}"

"""A bundle for whoever helps from afar: settings, health, metrics and versions, without secrets or pictures.

Ring: adapter (disk and the service's own port).
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import requests
import urllib3
from pydantic import BaseModel

from shared.command.checkup import Finding
from shared.logs import redact
from shared.version import commit, version

_TIMEOUT_S = 5.0
_MAX_ANSWER_BYTES = 2_000_000
_HIDDEN = "(hidden)"
_SECRET_WORDS = ("key", "password", "secret", "token")


def write_bundle(
    path: Path,
    *,
    settings: BaseModel,
    findings: Iterable[Finding],
    base_url: str,
    routes: Iterable[str],
    headers: Mapping[str, str],
) -> None:
    """Write the bundle as a zip; a service that does not answer is written down as that.

    Args:
        path: of the new file; one that is there is refused.
        settings: shown with every secret hidden.
        findings: of the doctor.
        base_url: of the running service on this machine.
        routes: GET routes whose answers go in.
        headers: let this command in at the service.

    Raises:
        FileExistsError, OSError
    """
    with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("settings.json", _json(hide_secrets(settings.model_dump(mode="json"))))
        bundle.writestr("versions.json", _json(_versions()))
        rows = [f"{f.state.value:5} {f.what:8} {f.text} {f.remedy}".rstrip() for f in findings]
        bundle.writestr("doctor.txt", redact("\n".join(rows)) + "\n")
        for route in routes:
            name = route.strip("/").replace("/", "-")
            bundle.writestr(f"answers/{name}.txt", redact(_get(base_url + route, headers)))


def hide_secrets(value: Any, name: str = "") -> Any:
    """Copy settings with every secret replaced and every address without its user and password."""
    if isinstance(value, Mapping):
        return {key: hide_secrets(inner, str(key)) for key, inner in value.items()}
    if name == "argv" and isinstance(value, list):  # a program's arguments may hold anything
        return [*value[:1], *(_HIDDEN for _ in value[1:])]
    if isinstance(value, list):
        return [hide_secrets(inner, name) for inner in value]
    is_secret = any(word in name.lower() for word in _SECRET_WORDS) and not name.endswith("_file")
    if is_secret and isinstance(value, str) and value:
        return _HIDDEN
    return redact(value) if isinstance(value, str) else value


def _versions() -> dict[str, Any]:
    packages = sorted(
        f"{d.metadata['Name']}=={d.version}" for d in importlib.metadata.distributions()
    )
    return {
        "emberlink": version(),
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
    }


def _get(url: str, headers: Mapping[str, str]) -> str:
    with requests.Session() as session:
        session.trust_env = False
        session.headers.update(headers)
        try:
            with session.get(url, timeout=_TIMEOUT_S, stream=True, allow_redirects=False) as answer:
                body = answer.raw.read(_MAX_ANSWER_BYTES)
                return f"HTTP {answer.status_code}\n\n{body.decode(errors='replace')}\n"
        # Of an answer that is read raw, urllib3 tells the failures itself.
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as err:
            return f"no answer: {type(err).__name__}\n"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"

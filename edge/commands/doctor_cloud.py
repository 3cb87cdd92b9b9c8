"""The doctor's look at the clouds: ready, quick, in step, and taking pictures of this box. Ring: adapter (network)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

import requests

from edge.config.settings import EdgeSettings
from edge.forward.discover import resolve
from edge.wiring.link import build_signer
from shared.clock import Stopwatch, SystemClock
from shared.command import checkup
from shared.command.checkup import Finding, checked, fail, ok, warn
from shared.config import read_secret
from shared.error_code import ErrorCode
from shared.logs import redact
from shared.web.http_date import read_http_date

_TIMEOUT_S = 5.0
_UPLOAD_WITHIN_S = 20.0
_SKEW_S = 2.0
_SLOW_LINK_S = 1.0  # beyond it no second try fits into the default deadline
_PICTURE_BYTES = 150_000  # a frame of 1280 × 720, as it is sent
_NO_ANSWER = "Compare scheme, host and port with the cloud's; `curl -v` from this box tells more."
_CLOSED = "Is it running? Is its port open in the firewall? `curl -v` from this box tells more."
_UNKNOWN = "Correct the name in the settings, or this box's DNS: `getent hosts {host}` asks it."
_SLOW = "Slow: raise policy.deadline_ms, or set cloud.uplink_bytes_per_s."
_UNREADY = "It answers but is not ready; its own `emberlink-cloud doctor` says why."


def clouds(settings: EdgeSettings, address: str) -> Iterator[Finding]:
    """Check the cloud at an address, or each that is found through it."""
    if address.startswith("mock:"):
        yield warn("cloud", "is a pretended one", "Name a real cloud with cloud.url.")
        return
    token_file = settings.cloud.consul_token_file
    for endpoint in resolve(address, read_secret(token_file) if token_file else None):
        yield from checked("cloud", partial(_cloud, endpoint.url, settings))


def _cloud(url: str, settings: EdgeSettings) -> Iterator[Finding]:
    """Ask a cloud whether it is ready, how long that takes, what time it is there, and whether it takes a picture."""
    clock = SystemClock()
    watch = Stopwatch(clock)
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if why := checkup.unreachable(host, port):
        remedy = _UNKNOWN.format(host=host) if why == checkup.NAME_UNKNOWN else _CLOSED
        yield fail("cloud", f"{redact(url)}: {why}", remedy)
        return
    try:
        with _session() as session:
            answer = session.get(f"{url}/readyz", timeout=_TIMEOUT_S, allow_redirects=False)
    except requests.RequestException as err:
        yield fail("cloud", f"{redact(url)}: {_no_answer(err)}", _NO_ANSWER)
        return
    answered_at = clock.now_at()
    watch.lap("ready")
    took_s = watch.stages_s["ready"]
    text = f"{redact(url)}: HTTP {answer.status_code} in {1000 * took_s:.0f} ms"
    if answer.status_code != 200:
        yield warn("cloud", text, _UNREADY)
    else:
        yield warn("cloud", text, _SLOW) if took_s > _SLOW_LINK_S else ok("cloud", text)
        yield from checked("cloud", partial(_upload, url, settings))
    # Nobody knows when within the call the cloud read its clock.
    half_way = timedelta(seconds=took_s / 2)
    if (skew_s := _skew_s(answer, answered_at - half_way)) is not None:
        yield _clock(skew_s, doubt_s=took_s / 2)


def _upload(url: str, settings: EdgeSettings) -> Iterator[Finding]:
    """Send, signed, as many bytes as a picture has; that they are none is the right answer, and costs nothing."""
    body = os.urandom(_PICTURE_BYTES)
    target = f"{url}/infer"
    headers = {"Content-Type": "image/jpeg"}
    if signer := build_signer(settings.cloud):
        headers |= signer.headers("POST", urlsplit(target).path, "", body)
    watch = Stopwatch(SystemClock())
    try:
        with _session() as session:
            answer = session.post(
                target,
                data=body,
                headers=headers,
                timeout=_UPLOAD_WITHIN_S,
                allow_redirects=False,
            )
    except requests.RequestException:
        text = f"{redact(url)}: {_PICTURE_BYTES // 1000} kB are not taken within {_UPLOAD_WITHIN_S:g} s"
        yield warn(
            "cloud",
            text,
            "The link is too thin for pictures; `policy.name = edge_only` asks for none.",
        )
        return
    watch.lap("upload")
    code = _code(answer)
    if code is ErrorCode.IMAGE_NOT_A_PICTURE:
        yield _pace(url, watch.stages_s["upload"], settings)
    elif code is not None:
        say = warn if code.row.retryable else fail
        yield say("cloud", f"{redact(url)}: takes no picture: {code.row.text_en}", code.row.hint)
    else:
        text = f"{redact(url)}: is no Emberlink cloud, HTTP {answer.status_code} to a picture"
        yield fail("cloud", text, _NO_ANSWER)


def _pace(url: str, took_s: float, settings: EdgeSettings) -> Finding:
    """Hold the time of an upload against how long an answer is waited for."""
    bytes_per_s = _PICTURE_BYTES / max(took_s, 1e-3)
    text = f"{redact(url)}: takes a picture of {_PICTURE_BYTES // 1000} kB in {took_s:.2f} s"
    deadline_s, told = settings.policy.deadline_ms / 1000, settings.cloud.uplink_bytes_per_s
    if took_s <= deadline_s or 0 < told <= bytes_per_s:
        return ok("cloud", text)
    advice = max(1000, int(bytes_per_s * 0.8) // 1000 * 1000)
    remedy = f"Set `cloud.uplink_bytes_per_s = {advice}`, so that pictures are scaled to fit."
    return warn("cloud", f"{text}, an answer is waited for {deadline_s:g} s", remedy)


def _code(answer: requests.Response) -> ErrorCode | None:
    try:
        said = json.loads(answer.content)
    except (ValueError, RecursionError):
        return None
    number = said.get("err_no") if isinstance(said, dict) else None
    return next((c for c in ErrorCode if c.row.number == number and number != 404), None)


def _no_answer(err: requests.RequestException) -> str:
    if isinstance(err, requests.exceptions.SSLError):
        return "its certificate is not accepted"
    if isinstance(err, requests.Timeout):
        return f"it listens, and gives no answer within {_TIMEOUT_S:g} s"
    return "it listens, and gives no answer in HTTP"


def _clock(skew_s: float, *, doubt_s: float) -> Finding:
    if abs(skew_s) <= _SKEW_S + doubt_s:
        return ok("clock", f"within {_SKEW_S:g} s of the cloud's")
    side = "ahead of" if skew_s > 0 else "behind"
    remedy = "`timedatectl set-ntp true`; signed requests are refused beyond 120 s."
    return warn("clock", f"{abs(skew_s):.0f} s {side} the cloud's", remedy)


def _skew_s(answer: requests.Response, now_at: datetime) -> float | None:
    told_at = read_http_date(answer.headers.get("Date", ""))
    return (now_at - told_at).total_seconds() - 0.5 if told_at else None


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session

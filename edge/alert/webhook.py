"""Alerts to an HTTP address, signed after the Standard Webhooks specification. Ring: adapter (network).

The receiver is hostile until its answer was read: one deadline for all of it, no redirects, bounded bytes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from standardwebhooks.webhooks import Webhook
from urllib3.exceptions import HTTPError

from edge.alert.message import Alert, Language, as_dict
from edge.alert.webhook_template import BodyTemplate
from edge.outbox.item import Delivered, Outcome, Poison, Retry
from shared.clock import Clock
from shared.version import version
from shared.web.http_date import read_http_date
from shared.web.socket_deadline import DeadlineAdapter, SocketDeadlines

_MAX_ANSWER_BYTES = 64_000
_LONGEST_RETRY_AFTER_S = 3600.0
_ABOUT_THE_MESSAGE = frozenset({400, 413, 415, 422})  # other 4xx are about address or secret
_ROBOT_BUSY = frozenset({-1, 45009, 130101})  # WeCom and DingTalk: system busy, sent too often


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTarget:
    """Where to, and in which form; `repr` shows neither address nor secret: both let anybody send.

    `secret` is `whsec_` and base64; None signs nothing. `template` None sends the whole alert with its picture.
    `is_robot`: the receiver answers 200 also when it refuses, and says so in `errcode`.
    """

    url: str
    secret: str | None
    template: BodyTemplate | None
    is_robot: bool
    language: Language
    timeout_s: float
    ca_file: Path | None

    def __repr__(self) -> str:
        return f"WebhookTarget({urlsplit(self.url).hostname!r})"


class WebhookSink:
    """Posts alerts to one address."""

    trouble: str | None = None  # nothing is known of an address between two posts
    is_connected = True

    def __init__(self, target: WebhookTarget, clock: Clock) -> None:
        """Prepare; nothing is sent yet."""
        self._target = target
        self._clock = clock
        self._signer = Webhook(target.secret) if target.secret else None
        self._deadlines = SocketDeadlines()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(target.ca_file) if target.ca_file else True
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, DeadlineAdapter(pool_connections=1, pool_maxsize=1))

    def start(self) -> None:
        """Nothing to connect to before the first alert."""

    def deliver(self, alert: Alert, picture: bytes | None) -> Outcome:
        """Post one alert and read what the receiver says."""
        body = self._body(alert, picture)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": f"emberlink/{version()}",
            "Accept-Encoding": "identity",
            **self._signature(alert.alert_id, body),
        }
        seconds = self._target.timeout_s
        with self._deadlines.call(seconds) as call:
            try:
                with self._session.post(
                    self._target.url,
                    data=body,
                    headers=headers,
                    timeout=(seconds, seconds),
                    stream=True,
                    allow_redirects=False,
                ) as response:
                    answer = response.raw.read(_MAX_ANSWER_BYTES, decode_content=False)
                    return self._outcome(response, answer)
            except (requests.RequestException, HTTPError, OSError, ValueError) as err:
                is_late = call.is_over or isinstance(err, requests.Timeout)
                return Retry(reason="no answer in time" if is_late else _root(err))

    def show(self, burning: frozenset[str]) -> None:
        """Nothing is shown between alerts."""

    def close(self) -> None:
        """Close the connection and end the deadline's thread."""
        self._session.close()
        self._deadlines.stop()

    def _body(self, alert: Alert, picture: bytes | None) -> bytes:
        values = as_dict(alert, self._target.language)
        if self._target.template is not None:
            return self._target.template.fill(values)
        snapshot = base64.b64encode(picture).decode() if picture else None
        document = {
            "type": values["type"],
            "timestamp": values["last_seen_at"],
            "data": {**values, "snapshot_base64": snapshot},
        }
        return json.dumps(document, ensure_ascii=False).encode()

    def _outcome(self, response: requests.Response, answer: bytes) -> Outcome:
        status = response.status_code
        if 200 <= status < 300:
            return _robot_outcome(answer) if self._target.is_robot else Delivered()
        reason = f"HTTP {status}"
        if status in _ABOUT_THE_MESSAGE:
            return Poison(reason=reason)
        wait_s = retry_after_s(response.headers.get("Retry-After", ""), self._clock.now_at())
        return Retry(reason=reason, retry_after_s=wait_s)

    def _signature(self, message_id: str, body: bytes) -> Mapping[str, str]:
        if self._signer is None:
            return {}
        now_at = self._clock.now_at()
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now_at.timestamp())),
            "webhook-signature": self._signer.sign(message_id, now_at, body.decode()),
        }


def _robot_outcome(answer: bytes) -> Outcome:
    try:
        said: Any = json.loads(answer)
    except (ValueError, RecursionError):
        said = None
    code = said.get("errcode") if isinstance(said, dict) else None
    if code == 0:
        return Delivered()
    if not isinstance(code, int):
        return Retry(reason="the robot's answer holds no errcode")
    said_text = str(said.get("errmsg", ""))[:100]
    pause_s = 60.0 if code in _ROBOT_BUSY else None
    return Retry(reason=f"errcode {code} {said_text}".rstrip(), retry_after_s=pause_s)


def retry_after_s(header: str, now_at: datetime) -> float | None:
    """Read `Retry-After`, seconds or a date (RFC 9110, 10.2.3), an hour at most; None when it is neither."""
    if header.isascii() and header.isdigit() and len(header) < 10:
        return min(float(header), _LONGEST_RETRY_AFTER_S)
    told_at = read_http_date(header)
    if told_at is None:
        return None
    return min(max(0.0, (told_at - now_at).total_seconds()), _LONGEST_RETRY_AFTER_S)


def _root(err: BaseException) -> str:
    """Name the innermost cause without the address, which may hold a token."""
    while (inner := err.__cause__ or err.__context__) is not None:
        err = inner
    reason = err.strerror if isinstance(err, OSError) and err.strerror else type(err).__name__
    return f"cannot be reached: {reason}"

"""Which settings are legal, and yet probably not meant. Ring: rim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from edge.capture.shot import PUSH
from edge.config.settings import EdgeSettings
from edge.event.fire_event import Severity
from shared.config import shared_doubts

_Doubts = Iterator[tuple[bool, str]]
_MANY_MAY_SHARE = (PUSH, "sim:")


def doubts(settings: EdgeSettings) -> list[str]:
    """Name them, with what comes of each."""
    found = [*_service(settings), *_cloud(settings), *_money(settings)]
    found += [*_alerts(settings), *_events(settings)]
    own = [text for is_doubtful, text in found if is_doubtful]
    return shared_doubts(settings.access, settings.server, settings.limits) + own


def _service(settings: EdgeSettings) -> _Doubts:
    server = settings.server
    yield (
        server.threads <= server.places + settings.policy.max_in_flight,
        "server.threads is not above server.places plus policy.max_in_flight: refusals will wait behind accepted "
        "work",
    )
    sources = Counter(
        camera.source
        for camera in settings.cameras.values()
        if not camera.source.startswith(_MANY_MAY_SHARE)
    )
    twice = [name for name, camera in settings.cameras.items() if sources[camera.source] > 1]
    yield bool(twice), f"cameras {', '.join(twice)} have the same source as another one"


def _cloud(settings: EdgeSettings) -> _Doubts:
    cloud = settings.cloud
    name = "cloud.url" if cloud.url else "cloud.endpoints"
    yield (
        bool(cloud.in_the_clear),
        f"{name} is not https: frames cross the network in the clear",
    )
    yield (
        settings.model.pull_every_s > 0 and not settings.may_pull,
        "model.pull_every_s does nothing: cloud.url is not https, and a model could be changed on the way",
    )
    timeout_ms = 1000 * (cloud.timeout_s or 0.0)
    yield (
        timeout_ms >= settings.policy.deadline_ms and cloud.tries != 1,
        "cloud.timeout_s is not below policy.deadline_ms: the cloud is never asked a second time",
    )


def _money(settings: EdgeSettings) -> _Doubts:
    policy = settings.policy
    day, month = policy.daily_limit_micros, policy.monthly_limit_micros
    yield (
        policy.cost_micros > day > 0,
        "policy.cost_per_call is above daily_limit: the cloud will never be asked",
    )
    if month is not None:
        yield (
            policy.cost_micros > month and day > 0,
            "policy.cost_per_call is above monthly_limit: the cloud will never be asked",
        )
        yield (
            policy.cost_micros <= month < day,
            "policy.monthly_limit is below daily_limit: one day may spend the month's money",
        )


def _alerts(settings: EdgeSettings) -> _Doubts:
    alerts, sinks = settings.alerts, settings.alerts.sinks
    called = {name: sink for name, sink in sinks.items() if sink.kind != "log"}
    at_once = [sink for sink in called.values() if sink.escalate_after_s == 0]
    yield (
        bool(called) and not alerts.base_url,
        "alerts.base_url is empty: alerts carry no link to the event",
    )
    yield (
        bool(called) and not at_once,
        "every receiver of alerts has escalate_after_s: nobody is called at once",
    )
    early = [n for n, sink in called.items() if 0 < sink.escalate_after_s < alerts.cooldown_s]
    yield (
        bool(early and at_once),
        f"escalate_after_s of alerts.sinks.{', '.join(early)} is below alerts.cooldown_s: it may be told before those "
        "that are told at once",
    )
    yield (
        bool(called) and all(sink.least is Severity.FIRE for sink in called.values()),
        "every receiver of alerts has least = fire: smoke calls nobody",
    )
    yield (
        settings.outbox.keep_alarms_days > settings.evidence.keep_days,
        "outbox.keep_alarms_days is above evidence.keep_days: an alert may arrive when its event is gone",
    )


def _events(settings: EdgeSettings) -> _Doubts:
    evidence, events = settings.evidence, settings.events
    yield (
        evidence.max_bytes == evidence.min_free_bytes == 0,
        "evidence.max_bytes and min_free_bytes are both 0: evidence may fill its disk",
    )
    yield (
        events.trace_origin and events.preroll_s == 0,
        "events.trace_origin finds nothing from before an event: events.preroll_s is 0",
    )

"""What *Health* shows: troubles with what to do first, then link, disk, models, cameras. Ring: rim, pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from edge.alert.deliveries import SinkStatus
from edge.box.live import CloudHeard
from edge.outbox.item import ItemClass, OutboxStatus
from edge.record.retention import Forecast
from edge.ui.now_model import CameraNow, is_watching, trouble_word
from edge.ui.speech import Speech
from edge.ui.try_model import Fact
from edge.ui.vitals_model import LinkNow
from edge.wiring.supervision import BoxCheck
from shared.breaker import BreakerState
from shared.model.reload import Tried
from shared.types import ModelIdentity
from shared.ui.speech import with_code
from shared.watch.trouble import Trouble, TroubleKind
from shared.web.app import CheckState

_SOON_DAYS = 10.0  # from here on nobody counts the hours
_ICONS = {
    TroubleKind.CAMERA: "eye",
    TroubleKind.VIEW: "frozen",
    TroubleKind.LINK: "cloud",
    TroubleKind.DISK: "disk",
    TroubleKind.EVIDENCE: "disk",
    TroubleKind.CLOCK: "clock",
    TroubleKind.BUDGET: "coin",
    TroubleKind.SINK: "bell",
    TroubleKind.OUTBOX: "bell",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TroubleRow:
    """A trouble: what and since when, what to do, cause and effect; the key by which it is acknowledged."""

    icon: str
    headline: Markup
    since: Markup
    remedy: Markup
    cause: Markup
    kind: str
    subject: str
    code: str
    is_seen: bool
    seen_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePanel:
    """A panel with its state at the right: `is_well` chooses the colour; `big` and `small` are its figure."""

    title: Markup
    state: Markup | str
    is_well: bool
    big: Markup | str
    small: Markup | str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A model that runs, or answered last."""

    is_cloud: bool
    where: Markup
    name: str
    sha256: str
    per_frame: str
    tried: Markup | None
    is_well: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraRow:
    """A camera in the table."""

    title: str
    state: Markup
    is_well: bool
    age: str
    rate: str
    skipped: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """A readiness check."""

    name: Markup
    state: Markup
    is_well: bool
    text: str


def show_troubles(
    troubles: Sequence[Trouble], titles: Mapping[str, str], speech: Speech
) -> tuple[TroubleRow, ...]:
    """Say every trouble, what blinds a camera first."""
    order = list(TroubleKind)
    ranked = sorted(troubles, key=lambda t: (t.acknowledged_at is not None, order.index(t.kind)))
    return tuple(_trouble_row(trouble, titles, speech) for trouble in ranked)


def _trouble_row(trouble: Trouble, titles: Mapping[str, str], speech: Speech) -> TroubleRow:
    key = f"trouble.{trouble.kind.value}_{trouble.code}"
    subject = titles.get(trouble.subject, trouble.subject) or speech.t(f"kind.{trouble.kind.value}")
    headline = Markup("{}{}{}").format(
        subject, "：" if speech.is_chinese else ": ", trouble_word(trouble, speech)
    )
    span = speech.duration((speech.now - trouble.since).total_seconds())
    return TroubleRow(
        icon=_ICONS.get(trouble.kind, "trouble"),
        headline=headline,
        since=speech.t("time.since", at=speech.moment(trouble.since), span=span),
        remedy=with_code(_translated(f"{key}_do", trouble.remedy, speech)),
        cause=trouble_cause(trouble, speech),
        kind=trouble.kind.value,
        subject=trouble.subject,
        code=trouble.code,
        is_seen=trouble.acknowledged_at is not None,
        seen_by=trouble.acknowledged_by,
    )


def _translated(key: str, given: str, speech: Speech, **figures: str) -> Markup:
    """Say in Chinese what came with the trouble in English."""
    return speech.known(key, given, **figures) if speech.is_chinese else Markup("{}").format(given)


def trouble_cause(trouble: Trouble, speech: Speech) -> Markup:
    """Say why, with its figures."""
    key = f"trouble.{trouble.kind.value}_{trouble.code}_why"
    try:
        return _translated(key, trouble.cause, speech, **trouble.figures)
    except KeyError:  # kept by an older version, without its figures
        return speech.known("", trouble.cause)


def show_link_panel(
    link: LinkNow, away_s: float | None, address: str, policy: str, speech: Speech
) -> StatePanel:
    """Say how the way to the cloud is, in full."""
    title = speech.t("health.link")
    policy_fact = Fact(name=speech.t("health.policy"), text=speech.t(f"policy.{policy}"))
    if link.state is None:
        return StatePanel(
            title=title,
            state=speech.t("health.none"),
            is_well=True,
            big="–",
            small=speech.t("health.link_none"),
            facts=(policy_fact,),
        )
    is_up = link.state is BreakerState.CLOSED
    state = {"closed": "up", "open": "down", "half_open": "probing"}[link.state.value]
    if not is_up:
        big: Markup | str = speech.duration(away_s or 0.0)
        small = speech.t("now.v_link_none_small")
    elif link.median_s is None or link.p90_s is None:
        big, small = "–", speech.t("health.no_calls")
    else:
        big = speech.milliseconds(link.median_s)
        small = speech.t("health.median", p90=speech.milliseconds(link.p90_s))
    breaker = speech.t(f"health.breaker_{link.state.value}")
    facts = (
        Fact(name=speech.t("health.breaker"), text=breaker),
        Fact(name=speech.t("health.address"), text=address),
        policy_fact,
    )
    return StatePanel(
        title=title,
        state=speech.t(f"health.{state}"),
        is_well=is_up,
        big=big,
        small=small,
        facts=facts,
    )


def show_outbox(outbox: OutboxStatus, sinks: Sequence[SinkStatus], speech: Speech) -> StatePanel:
    """Say what waits to be sent, and whom it reaches."""
    waiting = sum(outbox.items.values())
    is_well = (
        outbox.disk_trouble is None and not outbox.quarantined and not any(s.trouble for s in sinks)
    )
    state = "stuck" if not is_well else "sending" if waiting else "empty"
    if not sinks:
        small = speech.t("health.outbox_none")
    elif waiting:
        small = speech.t("health.waiting", span=speech.duration(outbox.oldest_s))
    else:
        small = speech.t("health.waiting_none")
    facts = [
        Fact(name=speech.t(f"health.{name}"), text=speech.number(outbox.items.get(item_class, 0)))
        for name, item_class in (("alarms", ItemClass.ALARM), ("evidence", ItemClass.EVIDENCE))
    ]
    facts.append(Fact(name=speech.t("health.quarantine"), text=speech.number(outbox.quarantined)))
    facts += [_sink_fact(sink, speech) for sink in sinks]
    return StatePanel(
        title=speech.t("health.outbox"),
        state=speech.t(f"health.{state}"),
        is_well=is_well,
        big=speech.number(waiting) if sinks else "–",
        small=small,
        facts=tuple(facts),
    )


def _sink_fact(sink: SinkStatus, speech: Speech) -> Fact:
    if sink.last_delivered_at is None:
        text = speech.t("health.never_delivered")
    else:
        text = speech.t("health.last_delivery", at=speech.moment(sink.last_delivered_at))
    return Fact(name=Markup("{} <code>{}</code>").format(sink.name, sink.kind), text=text)


def show_disk(forecast: Forecast | None, speech: Speech) -> StatePanel:
    """Say how much evidence there is, and how long its disk lasts."""
    title = speech.t("health.disk")
    if forecast is None:
        return StatePanel(
            title=title,
            state=speech.t("health.disk_trouble"),
            is_well=False,
            big="–",
            small=speech.t("health.disk_away"),
            facts=(),
        )
    is_far = forecast.days_left is None or forecast.days_left > 3650.0
    left = speech.size(forecast.left_bytes) if forecast.left_bytes is not None else "–"
    days = forecast.days_left or 0.0
    whole_days = round(days) if days >= _SOON_DAYS else days
    big: Markup | str = left if is_far else speech.duration(86_400 * whole_days)
    keep = speech.t("now.v_evidence_days", n=forecast.keep_days)
    facts = [
        Fact(name=speech.t("health.used"), text=speech.size(forecast.used_bytes)),
        Fact(name=speech.t("health.per_day"), text=speech.size(forecast.bytes_per_day)),
        Fact(name=speech.t("health.keep"), text=keep),
    ]
    if forecast.oldest_at is not None:
        oldest = speech.moment(forecast.oldest_at)
        facts.append(Fact(name=speech.t("health.oldest"), text=oldest))
    if not is_far:
        facts.insert(1, Fact(name=speech.t("health.left"), text=left))
    return StatePanel(
        title=title,
        state=speech.t("health.disk_trouble" if forecast.is_short else "health.disk_ok"),
        is_well=not forecast.is_short,
        big=big,
        small=speech.t("health.no_limit" if is_far else "health.disk_days"),
        facts=tuple(facts),
    )


def show_models(
    edge: ModelIdentity,
    edge_s: float | None,
    tried: Tried | None,
    cloud: CloudHeard | None,
    speech: Speech,
) -> tuple[ModelRow, ...]:
    """List what runs here, and what the cloud answered with last."""
    rows = [
        ModelRow(
            is_cloud=False,
            where=speech.t("health.edge"),
            name=f"{edge.name} {edge.version}",
            sha256=edge.sha256_12,
            per_frame="–" if edge_s is None else speech.milliseconds(edge_s),
            tried=_tried(tried, speech) if tried else None,
            is_well=tried is None or not tried.failure,
        )
    ]
    if cloud is not None:
        took = "–" if cloud.took_s is None else speech.milliseconds(cloud.took_s)
        rows.append(
            ModelRow(
                is_cloud=True,
                where=speech.t("health.cloud"),
                name=f"{cloud.model['name']} {cloud.model['version']}",
                sha256=cloud.model["sha256_12"],
                per_frame=took,
                tried=None,
                is_well=True,
            )
        )
    return tuple(rows)


def _tried(tried: Tried, speech: Speech) -> Markup:
    key = "health.tried_failed" if tried.failure else "health.tried_passed"
    if not tried.failure and not tried.pictures:
        key = "health.tried_noise"
    at = speech.moment(tried.at)
    return speech.t(key, at=at, n=tried.pictures, why=tried.failure)


def show_cameras(
    cameras: Sequence[CameraNow],
    states: Mapping[str, Mapping[str, Any]],
    speech: Speech,
    now_mono_s: float,
) -> tuple[CameraRow, ...]:
    """List the cameras, how fresh they are and how much of them is judged."""
    return tuple(_camera_row(c, states.get(c.name, {}), speech, now_mono_s) for c in cameras)


def _camera_row(
    camera: CameraNow, state: Mapping[str, Any], speech: Speech, now_mono_s: float
) -> CameraRow:
    look = camera.look
    is_well = is_watching(camera, now_mono_s)
    if camera.troubles:
        word = trouble_word(camera.troubles[0], speech)
    elif look is None:
        word = speech.t("state.starting")
    elif camera.has_ended:
        word = speech.t("state.ended")
    else:
        word = speech.t("state.watching" if is_well else "state.lost")
    return CameraRow(
        title=camera.title,
        state=word,
        is_well=is_well,
        age="–" if look is None else speech.age(now_mono_s - look.at_mono_s),
        rate=_rate(camera, speech),
        skipped=speech.number(state["skipped"]) if state else "–",
    )


def _rate(camera: CameraNow, speech: Speech) -> str:
    rate = camera.look.judged_per_s if camera.look else None
    return (
        "–" if rate is None else str(speech.t("health.per_s", n=f"{rate:.1f}".removesuffix(".0")))
    )


def _check_text(name: str, check: BoxCheck, speech: Speech) -> Markup:
    if not speech.is_chinese:
        return Markup("{}").format(check.text)
    if not check.troubles:
        figures = dict(check.figures)
        if "breaker" in figures:
            figures["breaker"] = speech.known(f"health.breaker_{figures['breaker']}", "")
        return speech.known(f"check.{check.says or 'nothing'}_well", check.text, **figures)
    return Markup("；").join(
        Markup("{}{}").format(f"{trouble.subject}：" if trouble.subject else "", cause)
        for trouble in check.troubles
        for cause in [trouble_cause(trouble, speech)]
    )


def show_checks(checks: Mapping[str, BoxCheck], speech: Speech) -> tuple[CheckRow, ...]:
    """List the readiness checks as a program sees them."""
    return tuple(
        CheckRow(
            name=speech.known(f"check.{name}", name),
            state=speech.t(f"health.{check.state.value}"),
            is_well=check.state is CheckState.OK,
            text=_check_text(name, check, speech),
        )
        for name, check in checks.items()
    )

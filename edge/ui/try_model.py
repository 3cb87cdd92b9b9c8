"""What *Try* shows of one picture that went down the line. Ring: rim, pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from edge.classify.locate import HeatMap
from edge.decide.policies import PolicyName
from edge.fuse import Verdict
from edge.ui.drawing import DrawnBox, HeatImage, drawn, heat_image
from edge.ui.speech import Speech
from shared.types import Detection, Label, Picture, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A line of a panel."""

    name: Markup
    text: object
    faint: object = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageBar:
    """One stage on the common time axis, in per cent of the whole; `is_cloud`: beyond the uplink."""

    name: Markup
    is_cloud: bool
    text: str
    left: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """What was weighed against what, in per cent of the scale."""

    filled: float
    mark: float
    label: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudPanel:
    """What the cloud found; `silence` says why there is nothing from it."""

    title: Markup
    silence: Markup | None
    took: str | None
    boxes: tuple[DrawnBox, ...]
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TryResult:
    """Everything about one picture; `kind` is fire, smoke, doubt or calm."""

    kind: str
    headline: Markup
    sentence: Markup
    share: str
    width_px: int
    height_px: int
    heat: HeatImage | None
    edge_boxes: tuple[DrawnBox, ...]
    edge_took: str | None
    edge_facts: tuple[Fact, ...]
    cloud: CloudPanel
    reason: Markup
    reason_code: str
    meter: Meter | None
    decision_facts: tuple[Fact, ...]
    stages: tuple[StageBar, ...]
    total: str
    models: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came out of the line: the verdict, where the edge looked, seconds to read the file, cost of a call."""

    picture: Picture
    verdict: Verdict
    heat: HeatMap | None
    read_s: float
    cost_micros: int
    edge_model: Mapping[str, str]


def show_tried(tried: Tried, speech: Speech) -> TryResult:
    """Make the page's values of what came out of the line."""
    verdict = tried.verdict
    kind, headline = _headline(verdict, speech)
    seen_by_cloud = verdict.source is Source.CLOUD
    edge_boxes = _boxes(verdict.edge.where, tried.picture, speech)
    stages = _stages(tried, speech)
    return TryResult(
        kind=kind,
        headline=headline,
        sentence=_sentence(verdict, speech),
        share=speech.percent(_share(verdict)),
        width_px=tried.picture.width_px,
        height_px=tried.picture.height_px,
        heat=None if tried.heat is None else heat_image(tried.heat),
        edge_boxes=edge_boxes,
        edge_took=_edge_took(verdict, speech),
        edge_facts=(
            Fact(name=speech.t("label.Fire"), text=speech.percent(verdict.edge.fire)),
            Fact(name=speech.t("label.Smoke"), text=speech.percent(verdict.edge.smoke)),
        ),
        cloud=_cloud_panel(tried, seen_by_cloud, speech),
        reason=speech.t(f"reason.{verdict.decision.reason.value}"),
        reason_code=verdict.decision.reason.value,
        meter=_meter(verdict, speech),
        decision_facts=_decision_facts(tried, speech),
        stages=stages,
        total=speech.milliseconds(tried.read_s + sum(verdict.stages_s.values())),
        models=_models(tried, seen_by_cloud, speech),
    )


def _share(verdict: Verdict) -> float:
    """Tell what stands in large figures: how likely fire or smoke is, by whoever ruled."""
    if verdict.source is not Source.CLOUD:
        return verdict.edge.presence
    return 1.0 - verdict.confidence if verdict.label is Label.NONE else verdict.confidence


def _headline(verdict: Verdict, speech: Speech) -> tuple[str, Markup]:
    is_cloud = verdict.source is Source.CLOUD
    if verdict.edge.is_broken and not is_cloud:
        return "doubt", speech.t("try.edge_broken")
    if verdict.label is Label.NONE:
        is_doubtful = verdict.source is Source.EDGE_FALLBACK
        headline = speech.t("try.cloud_none" if is_cloud else "try.edge_none")
        return ("doubt" if is_doubtful else "calm"), headline
    who = "confirmed" if is_cloud else "edge"
    return verdict.label.value, speech.t(f"try.{who}_{verdict.label.value}")


def _sentence(verdict: Verdict, speech: Speech) -> Markup:
    fire, smoke = speech.percent(verdict.edge.fire), speech.percent(verdict.edge.smoke)
    parts = [speech.t("try.edge_says", fire=fire, smoke=smoke)]
    parts.append(speech.t(f"reason.{verdict.decision.reason.value}"))
    if verdict.source is Source.CLOUD:
        parts.append(_found(verdict.detections, speech))
    return speech.sentences(parts)


def _found(detections: Sequence[Detection], speech: Speech) -> Markup:
    counts = {
        label: sum(d.label is label for d in detections) for label in (Label.FIRE, Label.SMOKE)
    }
    named = [speech.t(f"try.n_{label.value}", n=n) for label, n in counts.items() if n]
    if not named:
        return speech.t("try.found_nothing")
    return speech.t("try.found", what=speech.t("try.and").join(named))


def _boxes(
    detections: Sequence[Detection], picture: Picture, speech: Speech
) -> tuple[DrawnBox, ...]:
    return tuple(
        drawn(
            d,
            picture.width_px,
            picture.height_px,
            f"{speech.t('label.' + d.label.value)} {speech.percent(d.score)}",
        )
        for d in detections
    )


def _cloud_panel(tried: Tried, seen_by_cloud: bool, speech: Speech) -> CloudPanel:
    verdict = tried.verdict
    if not seen_by_cloud:
        was_wanted = verdict.source is Source.EDGE_FALLBACK
        return CloudPanel(
            title=speech.t("try.cloud_silent_title" if was_wanted else "try.cloud_none_title"),
            silence=speech.t(f"reason.{verdict.decision.reason.value}"),
            took=None,
            boxes=(),
            facts=(),
        )
    facts = tuple(
        Fact(
            name=speech.t("label.Smoke" if d.label is Label.SMOKE else "label.Fire"),
            text=speech.percent(d.score),
            faint=position_in_words(d, speech),
        )
        for d in verdict.detections[:6]
    )
    return CloudPanel(
        title=speech.t("try.cloud_title"),
        silence=None if facts else speech.t("try.cloud_nothing"),
        took=None if verdict.cloud_s is None else speech.milliseconds(verdict.cloud_s),
        boxes=_boxes(verdict.detections, tried.picture, speech),
        facts=facts,
    )


def position_in_words(detection: Detection, speech: Speech) -> Markup:
    """Say where a box lies, in whole pixels."""
    box = detection.box
    return speech.t(
        "try.position", x1=round(box.x1), x2=round(box.x2), y1=round(box.y1), y2=round(box.y2)
    )


def _meter(verdict: Verdict, speech: Speech) -> Meter | None:
    decision = verdict.decision
    if decision.value is not None and decision.price is not None:
        value, price = min(1.0, decision.value), min(1.0, decision.price)
        label = speech.t("try.meter", value=f"{decision.value:.3f}", price=f"{decision.price:.3f}")
        return Meter(filled=round(100 * value, 1), mark=round(100 * price, 1), label=label)
    if decision.threshold is not None:
        sure = verdict.edge.confidence
        return Meter(
            filled=round(100 * sure, 1),
            mark=round(100 * decision.threshold, 1),
            label=speech.t(
                "try.meter_confidence",
                value=speech.percent(sure),
                price=speech.percent(decision.threshold),
            ),
        )
    return None


def _decision_facts(tried: Tried, speech: Speech) -> tuple[Fact, ...]:
    verdict, decision = tried.verdict, tried.verdict.decision
    facts = [Fact(name=speech.t("try.policy"), text=speech.t(f"policy.{decision.policy.value}"))]
    if decision.policy is PolicyName.PRICE:
        for name, number in (("value", decision.value), ("price", decision.price)):
            if number is not None:
                facts.append(Fact(name=speech.t(f"try.{name}"), text=f"{number:.3f}"))
    elif decision.threshold is not None:
        sure = speech.percent(verdict.edge.confidence)
        facts.append(Fact(name=speech.t("try.confidence"), text=sure))
        limit = speech.percent(decision.threshold)
        facts.append(Fact(name=speech.t("try.threshold"), text=limit))
    if decision.forward:
        facts.append(Fact(name=speech.t("try.tier"), text=speech.t(f"tier.{decision.tier}")))
    left = speech.number(decision.budget_remaining_micros // max(1, tried.cost_micros))
    charged = "try.charged_yes" if decision.charged_micros else "try.charged_no"
    facts.append(Fact(name=speech.t("try.charged"), text=speech.t(charged, left=left)))
    return tuple(facts)


def _stages(tried: Tried, speech: Speech) -> tuple[StageBar, ...]:
    verdict = tried.verdict
    laps = [("read", tried.read_s, False)]
    laps += [
        (name, verdict.stages_s[name], False)
        for name in ("queue", "decode", "classify", "decide")
        if name in verdict.stages_s
    ]
    if "forward" in verdict.stages_s:
        whole = verdict.stages_s["forward"]
        inside = verdict.cloud_s
        if inside is None or inside > whole:
            laps.append(("forward", whole, True))
        else:
            laps += [("link", whole - inside, True), ("detect", inside, True)]
    total = sum(seconds for _, seconds, _ in laps) or 1.0
    bars, at = [], 0.0
    for name, seconds, is_cloud in laps:
        bars.append(
            StageBar(
                name=speech.t(f"stage.{name}"),
                is_cloud=is_cloud,
                text=speech.milliseconds(seconds),
                left=round(100 * at / total, 2),
                width=round(100 * seconds / total, 2),
            )
        )
        at += seconds
    return tuple(bars)


def _edge_took(verdict: Verdict, speech: Speech) -> str | None:
    seconds = verdict.edge_s
    return None if seconds is None else speech.milliseconds(seconds)


def _models(tried: Tried, seen_by_cloud: bool, speech: Speech) -> tuple[Fact, ...]:
    named = [("edge", tried.edge_model)]
    if seen_by_cloud:
        named.append(("cloud", tried.verdict.model))
    return tuple(
        Fact(
            name=speech.t(f"health.{where}"),
            text=f"{model['name']} {model['version']}",
            faint=model["sha256_12"],
        )
        for where, model in named
    )

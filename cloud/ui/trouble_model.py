"""What is wrong with the cloud, in words. Ring: rim, pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from shared.ui.speech import Speech, with_code
from shared.watch.trouble import Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class TroubleRow:
    """A trouble: what and since when, what to do, and its cause; the key by which it is acknowledged."""

    headline: Markup
    since: Markup
    remedy: Markup
    cause: Markup
    kind: str
    subject: str
    code: str
    is_seen: bool
    seen_by: str


def show_troubles(troubles: Sequence[Trouble], speech: Speech) -> tuple[TroubleRow, ...]:
    """Say every trouble, the oldest first."""
    return tuple(_row(trouble, speech) for trouble in troubles)


def _row(trouble: Trouble, speech: Speech) -> TroubleRow:
    key = f"trouble.{trouble.kind.value}_{trouble.code}"
    headline = speech.known(key, trouble.code)
    if trouble.subject:
        headline = Markup("{}{}{}").format(
            trouble.subject, "：" if speech.is_chinese else ": ", headline
        )
    span = speech.duration((speech.now - trouble.since).total_seconds())
    return TroubleRow(
        headline=headline,
        since=speech.t("time.since", at=speech.moment(trouble.since), span=span),
        remedy=with_code(_sentence(f"{key}_do", trouble.remedy, speech)),
        cause=_sentence(f"{key}_why", trouble.cause, speech, **trouble.figures),
        kind=trouble.kind.value,
        subject=trouble.subject,
        code=trouble.code,
        is_seen=trouble.acknowledged_at is not None,
        seen_by=trouble.acknowledged_by,
    )


def _sentence(key: str, given: str, speech: Speech, **figures: str) -> Markup:
    """Say in Chinese what came with the trouble in English."""
    return speech.known(key, given, **figures) if speech.is_chinese else Markup("{}").format(given)

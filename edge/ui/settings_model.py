"""What *Settings* shows: every setting as it is, and where its value came from. Ring: rim, pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from markupsafe import Markup
from pydantic import BaseModel, SecretStr

from edge.selftest.rules import TestResult
from edge.ui.speech import Speech
from edge.ui.words import settings_in_chinese
from shared.logs import redact

Origins = Mapping[tuple[str, ...], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """One setting: dotted name, value as text, where it came from, whether that is not the default, what it means."""

    name: str
    value: str
    origin: Markup | str
    is_set: bool
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingGroup:
    """The settings of one section: `rows` are shown of its `count`, of which `set_count` are not the default."""

    name: str
    rows: tuple[SettingRow, ...]
    set_count: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRow:
    """What came of a camera's last test alarm."""

    title: str
    when: Markup
    is_passed: bool
    words: Markup | str


def show_settings(
    settings: BaseModel, origins: Origins, speech: Speech, *, camera: str = ""
) -> tuple[SettingGroup, ...]:
    """List every setting by section; secrets are only said to be there.

    Of the cameras one is listed in full, of the others what was set: they have the same two dozen defaults.
    """
    rows: dict[str, list[SettingRow]] = {}
    left_out: Counter[str] = Counter()
    for path, value, meaning in leaves(settings):
        group = path[0] if len(path) > 1 else ""
        origin = _origin(path, origins)
        is_of_another = group == "cameras" and path[1:2] != (camera,)
        if is_of_another and origin is None:
            left_out[group] += 1
            continue
        if is_of_another:
            meaning = ""  # said once, with the camera that is listed in full
        elif speech.is_chinese:
            meaning = settings_in_chinese()[meaning]
        row = SettingRow(
            name=".".join(path),
            value=_shown(value, speech),
            origin=origin or speech.t("settings.default"),
            is_set=origin is not None,
            meaning=meaning,
        )
        rows.setdefault(group, []).append(row)
    return tuple(
        SettingGroup(
            name=name,
            rows=tuple(found),
            set_count=sum(row.is_set for row in found),
            count=len(found) + left_out[name],
        )
        for name, found in sorted(rows.items())
    )


def leaves(
    model: BaseModel, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """Give the path, value and meaning of every setting."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        yield from _branch(value, (*path, name), field.description or "")


def _branch(
    value: Any, path: tuple[str, ...], meaning: str
) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    if isinstance(value, BaseModel):
        yield from leaves(value, path)
    elif (
        isinstance(value, dict) and value and all(isinstance(v, BaseModel) for v in value.values())
    ):
        for key, inner in value.items():
            yield from _branch(inner, (*path, str(key)), meaning)
    else:
        yield path, value, meaning


def _origin(path: tuple[str, ...], origins: Origins) -> str | None:
    return next((origins[path[:n]] for n in range(len(path), 0, -1) if path[:n] in origins), None)


def _shown(value: Any, speech: Speech) -> str:
    if isinstance(value, SecretStr):
        return str(speech.t("settings.secret"))
    if value is None or value == "" or value in ((), {}, []):
        return "–"
    if isinstance(value, bool):
        return str(speech.t("settings.on" if value else "settings.off"))
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple | list):
        return ", ".join(_shown(item, speech) for item in value)
    return redact(str(value))


def show_tests(
    results: Sequence[TestResult], titles: Mapping[str, str], speech: Speech
) -> tuple[TestRow, ...]:
    """Say what came of the test alarms."""
    return tuple(_test_row(result, titles, speech) for result in results)


def _test_row(result: TestResult, titles: Mapping[str, str], speech: Speech) -> TestRow:
    words: Markup | str
    if result.is_passed:
        span = f"{result.alert_s or result.event_s or 0.0:.1f}\N{NO-BREAK SPACE}s"
        words = speech.t("settings.test_passed", span=span)
    else:
        words = result.why
    return TestRow(
        title=titles.get(result.camera, result.camera),
        when=speech.moment(result.began_at),
        is_passed=result.is_passed,
        words=words,
    )

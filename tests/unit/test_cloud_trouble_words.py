"""Every trouble of a cloud can be read in both languages, with every figure that it tells."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from markupsafe import escape

from cloud import troubles
from cloud.ui.kit import FOLDER
from cloud.ui.trouble_model import show_troubles
from shared.access.users import users_unreadable
from shared.logs import get_logger
from shared.ui.speech import Speech
from shared.ui.words import COMMON, TROUBLES, Words
from shared.watch.supervise import Supervisor
from shared.watch.trouble import Trouble
from tests.helpers.clock import FakeClock
from tests.helpers.logs import FULL, logging_into

_NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
_OWN = FOLDER / "words.toml"
_WORDS = Words([COMMON, TROUBLES, _OWN])
_DETAIL = "card 0 <out of memory> after 3 tries"


def _silent_thread() -> Trouble:
    clock = FakeClock()
    supervisor = Supervisor(clock)
    supervisor.watch("batches", allowed_s=5.0)
    clock.advance(17.0)
    supervisor.look()
    (found,) = supervisor.active()
    return found


def _lost_lines() -> Trouble:
    supervisor = Supervisor(FakeClock())
    with logging_into(FULL):
        get_logger().info("lost")
        supervisor.look()
    (found,) = supervisor.active()
    return found


_ALL = [
    troubles.model_failed(_DETAIL, _NOW),
    *troubles.models_doubtful([{"name": "m", "doubt": _DETAIL}], _NOW),
    troubles.model_untrue(_DETAIL, _NOW),
    troubles.newer_refused(_DETAIL, _NOW),
    troubles.redis_away(_DETAIL, _NOW),
    troubles.redis_lost(_NOW),
    troubles.redis_evicts("allkeys-lru", _NOW),
    troubles.no_worker(_NOW),
    troubles.consul_away(_NOW),
    troubles.callbacks_failing(_DETAIL, _NOW),
    troubles.store_failing(_DETAIL, _NOW),
    troubles.keys_unreadable(_DETAIL, _NOW),
    users_unreadable(_DETAIL, _NOW),
    _silent_thread(),
    _lost_lines(),
]


def test_the_catalogue_has_exactly_the_troubles_that_there_are():
    keys = {f"trouble.{t.kind.value}_{t.code}" for t in _ALL}
    needed = {f"{key}{part}" for key in keys for part in ("", "_why", "_do")}
    assert needed <= _WORDS.texts.keys()
    assert {key for key in Words([_OWN]).texts if key.startswith("trouble.")} <= needed


@pytest.mark.parametrize("trouble", _ALL, ids=lambda trouble: trouble.code)
def test_chinese_tells_every_figure_and_nothing_is_left_in_english(trouble):
    speech = Speech(words=_WORDS, language="zh", zone=ZoneInfo("Asia/Shanghai"), now=_NOW)
    (row,) = show_troubles([trouble], speech)
    for text in (row.headline, row.cause, row.remedy):
        assert re.search("[\u4e00-\u9fff]", text)
        assert 'lang="en"' not in text
    for figure in trouble.figures.values():
        assert figure in trouble.cause
        assert str(escape(figure)) in row.cause
    assert set(re.findall(r"\d+", trouble.cause)) <= set(re.findall(r"\d+", row.cause))

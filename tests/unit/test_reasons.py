from __future__ import annotations

import pytest

from edge.decide.reasons import Reason, sentence


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_begins_with_who_answered(reason):
    assert reason.value.split("_")[0] in ("edge", "cloud", "fallback")


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_a_fallback_exactly_by_its_name(reason):
    assert reason.is_fallback == reason.value.startswith("fallback_")


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("is_chinese", [False, True])
def test_a_reason_has_a_sentence_in_both_languages(reason, is_chinese):
    text = sentence(reason, is_chinese=is_chinese)
    assert any("\u4e00" <= sign <= "\u9fff" for sign in text) == is_chinese


def test_the_set_of_reasons_is_closed():
    assert {reason.value for reason in Reason} == {
        "edge_confident",
        "edge_policy",
        "edge_below_price",
        "edge_already_asked",
        "edge_already_alarmed",
        "edge_fair_share",
        "edge_battery",
        "cloud_routine",
        "cloud_audit",
        "cloud_verify",
        "cloud_confirm",
        "cloud_origin",
        "fallback_budget_empty",
        "fallback_reserve_kept",
        "fallback_ledger_down",
        "fallback_cloud_down",
        "fallback_uplink_busy",
        "fallback_too_late",
        "fallback_timeout",
        "fallback_refused",
        "fallback_busy",
        "fallback_bad_answer",
    }


def test_an_empty_budget_is_told_in_the_words_callers_know():
    assert sentence(Reason.FALLBACK_BUDGET_EMPTY, is_chinese=True) == "预算不足,使用边侧结果"

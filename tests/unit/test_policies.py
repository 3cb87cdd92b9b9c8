from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decide.policies import (
    AlwaysPolicy,
    EdgeOnlyPolicy,
    FixedPolicy,
    PolicyName,
    build_simple_policy,
)
from edge.decide.reasons import Reason
from shared.types import Classification, Label

_probability = st.floats(0.0, 1.0)

_SIMPLE = [name for name in PolicyName if name is not PolicyName.PRICE]


@given(_probability, _probability)
def test_confidence_is_the_certainty_of_the_verdict(fire, smoke):
    seen = Classification(fire=fire, smoke=smoke)
    assert seen.confidence == max(seen.presence, 1.0 - seen.presence)


@pytest.mark.parametrize(
    ("fire", "smoke", "label"),
    [
        (0.9, 0.1, Label.FIRE),
        (0.1, 0.9, Label.SMOKE),
        (0.6, 0.6, Label.FIRE),
        (0.49, 0.49, Label.NONE),
        (0.5, 0.0, Label.FIRE),
    ],
)
def test_a_classification_is_named_by_its_likelier_class(fire, smoke, label):
    assert Classification(fire=fire, smoke=smoke).label is label


@given(_probability, _probability)
def test_the_fixed_policy_forwards_exactly_what_is_below_its_threshold(fire, smoke):
    seen = Classification(fire=fire, smoke=smoke)
    assert FixedPolicy(0.7).wish(None, seen).forward == (seen.confidence < 0.7)


def test_a_frame_at_the_threshold_stays_at_the_edge():
    assert not FixedPolicy(0.75).wish(None, Classification(fire=0.75, smoke=0.0)).forward


def test_a_sure_no_is_as_confident_as_a_sure_yes():
    assert not FixedPolicy(0.7).wish(None, Classification(fire=0.01, smoke=0.01)).forward


def test_always_forwards_what_the_edge_is_sure_of():
    assert AlwaysPolicy().wish(None, Classification(fire=1.0, smoke=0.0)).forward


def test_edge_only_keeps_what_the_edge_is_unsure_of():
    wish = EdgeOnlyPolicy().wish(None, Classification(fire=0.5, smoke=0.5))
    assert (wish.forward, wish.reason) == (False, Reason.EDGE_POLICY)


@given(st.sampled_from(_SIMPLE), _probability)
def test_a_wish_names_a_cloud_reason_exactly_when_it_forwards(name, fire):
    wish = build_simple_policy(name, threshold=0.7).wish(None, Classification(fire=fire, smoke=0.0))
    assert wish.reason.value.startswith("cloud_") == wish.forward


@given(st.sampled_from(_SIMPLE))
def test_a_policy_is_built_by_its_name(name):
    assert build_simple_policy(name, threshold=0.7).name is name


@given(st.sampled_from([PolicyName.FIXED, PolicyName.ALWAYS, PolicyName.EDGE_ONLY]), _probability)
def test_the_same_frame_twice_gets_the_same_wish(name, fire):
    policy, seen = build_simple_policy(name, threshold=0.7), Classification(fire=fire, smoke=0.0)
    assert policy.wish(None, seen) == policy.wish(None, seen)

"""Roles, passwords, sessions, and where a change comes from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.access.sessions import Sessions
from shared.roles import (
    Need,
    Role,
    Rules,
    comes_from_elsewhere,
    could_be_rebound,
    hash_password,
    is_password,
    is_password_hash,
    safe_target,
)
from tests.helpers.clock import FakeClock

_RULES = Rules(
    nothing=frozenset({"/healthz"}),
    asks=frozenset({"/joint_predict"}),
    looks=frozenset({"/predict"}),
    changes=frozenset({"/audit"}),
    nothing_below=("/static/",),
)


def sessions(clock: FakeClock) -> Sessions:
    return Sessions(clock, idle_s=600, longest_s=3600)


def test_a_password_is_known_again_and_no_other_is():
    kept = hash_password("correct horse")
    assert is_password("correct horse", kept)
    assert not is_password("correct horsf", kept)
    assert not is_password("correct horse", None)


def test_two_hashes_of_one_password_differ_and_neither_holds_it():
    first, second = hash_password("correct horse"), hash_password("correct horse")
    assert first != second
    assert "correct" not in first
    assert is_password_hash(first)


@pytest.mark.parametrize(
    "text", ["", "plain", "scrypt$1$8$1$AAAA$AAAA", "scrypt$31$8$1$AAAA$AAAA", "md5$1$2$3$4$5"]
)
def test_a_weak_or_ruinous_hash_is_none(text):
    assert not is_password_hash(text)


@pytest.mark.parametrize(
    ("rule", "is_reading", "need"),
    [
        ("/healthz", True, Need.NOTHING),
        ("/static/app.css", True, Need.NOTHING),
        ("/joint_predict", False, Need.ASK),
        ("/predict", False, Need.LOOK),
        ("/events", True, Need.LOOK),
        ("/events/<event_id>/hold", False, Need.CHANGE),
        ("/audit", True, Need.CHANGE),
    ],
)
def test_a_route_that_nobody_named_is_looked_at_or_changed(rule, is_reading, need):
    assert _RULES.need(rule, is_reading=is_reading) is need


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.VIEWER, {Need.NOTHING, Need.LOOK}),
        (Role.SENDER, {Need.NOTHING, Need.ASK}),
        (Role.GUEST, {Need.NOTHING, Need.LOOK, Need.ASK}),
        (Role.ADMIN, set(Need)),
    ],
)
def test_each_role_may_what_it_says(role, allowed):
    assert {need for need in Need if role.may(need)} == allowed


def test_a_session_lasts_while_it_is_used_but_not_for_ever():
    clock = FakeClock()
    book = sessions(clock)
    key = book.begin("anna", "kept")
    for _ in range(7):
        clock.advance(500)
        assert book.find(key)
    clock.advance(500)
    assert book.find(key) is None


def test_a_session_that_nobody_uses_ends():
    clock = FakeClock()
    book = sessions(clock)
    key = book.begin("anna", "kept")
    clock.advance(601)
    assert book.find(key) is None
    assert book.find(key) is None


def test_sessions_are_bounded_and_the_silent_one_goes_first():
    book = sessions(FakeClock())
    first, second = book.begin("anna", "kept"), book.begin("anna", "kept")
    book.find(first)
    for _ in range(999):
        book.begin("bert", "kept")
    assert book.find(first)
    assert book.find(second) is None


def test_no_two_sessions_share_an_id_or_a_form_token():
    book = sessions(FakeClock())
    keys = [book.begin("anna", "kept") for _ in range(50)]
    tokens = {found.form_token for key in keys if (found := book.find(key))}
    assert len(set(keys)) == len(tokens) == 50
    assert all(token not in repr(book.find(keys[0])) for token in tokens)


@pytest.mark.parametrize(
    ("origin", "site", "host", "is_foreign"),
    [
        (None, None, "127.0.0.1:5000", False),
        ("http://127.0.0.1:5000", "same-origin", "127.0.0.1:5000", False),
        ("http://127.0.0.1:5001", "same-site", "127.0.0.1:5000", True),
        ("https://evil.example", "cross-site", "127.0.0.1:5000", True),
        ("null", None, "127.0.0.1:5000", True),
        (None, "cross-site", "127.0.0.1:5000", True),
        (None, "none", "127.0.0.1:5000", False),
        ("http://[", None, "127.0.0.1:5000", True),
    ],
)
def test_a_change_from_another_page_is_known_by_its_headers(origin, site, host, is_foreign):
    assert comes_from_elsewhere(origin=origin, site=site, host=host) is is_foreign


@pytest.mark.parametrize(
    "host", ["", "127.0.0.1:5000", "localhost", "[::1]:5000", "edge:5000", "10.0.0.7"]
)
def test_a_page_of_another_site_cannot_come_from_an_address_or_a_plain_name(host):
    assert not could_be_rebound(host)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:5000", "rebind.network.", "[bad"]
)
def test_a_public_name_may_belong_to_anybody(host):
    assert could_be_rebound(host)


@given(st.text(max_size=30))
def test_after_signing_in_nobody_is_led_away(path):
    target = safe_target(path)
    assert target.startswith("/")
    assert not target.startswith(("//", "/\\"))
    assert target.isprintable()


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "", None]
)
def test_a_target_elsewhere_becomes_the_first_page(path):
    assert safe_target(path) == "/"

"""Logging in to cameras, against the examples of the standard."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge.capture.auth
from edge.capture.auth import Login

_RFC_LOGIN = Login(user="Mufasa", password="Circle of Life")
_RFC_URL = "http://www.example.org/dir/index.html"
_RFC_ASKED = (
    'realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_gives_the_answers_of_rfc_7616(monkeypatch, algorithm, expected):
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    monkeypatch.setattr(edge.capture.auth.secrets, "token_hex", lambda size: cnonce)
    asked = "Digest " + _RFC_ASKED.format(algorithm=algorithm)
    answer = _RFC_LOGIN.answer([asked], "GET", _RFC_URL)
    assert answer is not None
    assert f'response="{expected}"' in answer
    assert 'uri="/dir/index.html"' in answer
    assert "qop=auth, nc=00000001" in answer


def test_digest_without_qop_is_that_of_rfc_2069():
    asked = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'
    answer = Login(user="Mufasa", password="CircleOfLife").answer([asked], "GET", _RFC_URL)
    assert answer is not None
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in answer
    assert "cnonce" not in answer


def test_the_password_goes_in_the_clear_only_when_nothing_better_is_asked_for():
    login = Login(user="op", password="p:ss")
    basic, digest = 'Basic realm="x"', 'Digest realm="x", nonce="y", qop="auth"'
    assert login.answer([basic], "GET", "http://c/") == (
        "Basic " + base64.b64encode(b"op:p:ss").decode()
    )
    assert str(login.answer([basic, digest], "GET", "http://c/")).startswith("Digest ")


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "Negotiate",
        'Digest realm="x"',
        'Digest nonce="x", realm="y", algorithm=MD5-sess-17',
        'Digest nonce="x", realm="y", qop="auth-int"',
        "Digest ==,,=",
        "Digest " + "a" * 100_000,
    ],
)
def test_what_we_do_not_speak_gets_no_answer(asked):
    assert Login(user="op", password="secret").answer([asked], "GET", "http://c/") is None


@given(st.lists(st.text(max_size=300), max_size=4))
def test_whatever_a_camera_asks_no_challenge_breaks_us_or_shows_the_password(challenges):
    login = Login(user="op", password="hunter2")
    for scheme in ("", "Digest ", "Basic "):
        answer = login.answer([scheme + c for c in challenges], "GET", "http://c/a?b=c")
        assert answer is None or "hunter2" not in answer
    assert "hunter2" not in repr(login)

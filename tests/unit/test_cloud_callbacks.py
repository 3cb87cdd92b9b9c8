from __future__ import annotations

import base64

import pytest

from cloud.config import CallbacksSection
from cloud.jobs.callback_receiver import sign_callback
from cloud.jobs.callbacks import check_callback
from shared.error_code import ErrorCode
from shared.errors import RequestError

_ALLOWED = ("https://console.example/hooks/", "https://one.example:8443/exactly")


@pytest.mark.parametrize(
    "url",
    [
        "https://console.example/hooks/",
        "https://console.example/hooks/a?job=1",
        "https://one.example:8443/exactly",
    ],
)
def test_an_address_on_the_list_is_allowed(url):
    assert check_callback(url, _ALLOWED) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://console.example/",
        "https://console.example/other",
        "http://console.example/hooks/a",
        "https://console.example.evil.example/hooks/a",
        "https://user@console.example/hooks/a",
        "https://console.example/hooks/../admin",
        "https://console.example/hooks/%2e%2e/admin",
        "https://console.example/hooks//x",
        "https://console.example/hooks/\\evil",
        "https://console.example/hooks/a b",
        "https://console.example/hooks/a\n",
        "https://console.example/hooks/ä",
        "https://console.example/hooks/#x",
        "https://one.example:8443/exactly/not",
        "https://one.example/exactly",
        "https://console.example/hooks/" + "a" * 500,
        "http://127.0.0.1/",
        "file:///etc/passwd",
        "http://[::1",
        "https://[x]/hooks/",
    ],
)
def test_every_other_address_is_refused(url):
    with pytest.raises(RequestError) as caught:
        check_callback(url, _ALLOWED)
    assert caught.value.code is ErrorCode.CALLBACK_FORBIDDEN


def test_without_a_list_nothing_is_called():
    with pytest.raises(RequestError):
        check_callback("https://console.example/hooks/", ())


def test_a_callback_is_signed_as_standard_webhooks_are():
    # The vector of the Standard Webhooks reference libraries: secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw.

    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign_callback(
        key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "section",
    [
        {"allowed": ["https://a.example/"]},
        {"allowed": ["https://a.example/"], "key": "short"},
        {"allowed": ["https://a.example/"], "key": "whsec_of nothing in base64"},
        {"allowed": ["https://a.example"], "key": "x" * 32},
        {"allowed": ["ftp://a.example/"], "key": "x" * 32},
        {"allowed": ["https://user@a.example/"], "key": "x" * 32},
    ],
)
def test_a_list_without_a_key_or_with_half_an_address_is_refused_at_start(section):
    with pytest.raises(ValueError, match=r"callbacks|address|path|whsec_"):
        CallbacksSection.model_validate(section)

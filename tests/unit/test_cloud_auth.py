from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta

import pytest

from cloud.fleet.keys import KeyRing, add_key, read_keys, remove_keys
from shared.access.auth import SKEW_S, MemoryNonces, Signed, Signer, Verifier, new_key
from shared.error_code import ErrorCode
from shared.errors import CommandError, ConfigError, RequestError
from tests.helpers.clock import FakeClock

_KEY = b"0123456789abcdef0123456789abcdef"
_OLD_KEY = b"fedcba9876543210fedcba9876543210"
_DIGESTS = {
    b"a picture": "sha-256=:krL6WAKJWDF+QIvYTs+nD17jWxIZkdvCMsSdFmNTcIs=:",
    b"": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
}


def _signed(
    headers: dict[str, str],
    method: str = "POST",
    path: str = "/infer",
    query: str = "",
    body: bytes = b"a picture",
) -> Signed:
    return Signed(
        method=method,
        path=path,
        query=query,
        signature_input=headers.get("Signature-Input"),
        signature=headers.get("Signature"),
        content_digest=headers.get("Content-Digest"),
        body=lambda: body,
    )


def _verifier(clock: FakeClock, **keys: tuple[bytes, ...]) -> Verifier:
    known = keys or {"gate": (_KEY, _OLD_KEY)}
    return Verifier(lambda name: known.get(name, ()), MemoryNonces(clock), clock)


def _headers(clock: FakeClock, key: bytes = _KEY, edge_id: str = "gate", **changes) -> dict:
    asked = {"method": "POST", "path": "/infer", "query": "", "body": b"a picture", **changes}
    return Signer(edge_id, key, clock).headers(**asked)


def _code(verifier: Verifier, request: Signed) -> ErrorCode | None:
    try:
        verifier.verify(request)
    except RequestError as err:
        return err.code
    return None


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.mark.parametrize("key", [_KEY, _OLD_KEY])
def test_a_request_signed_with_either_key_is_from_its_edge(clock, key):
    assert _verifier(clock).verify(_signed(_headers(clock, key))) == "gate"


@pytest.mark.parametrize(
    ("method", "target", "body", "signature"),
    [
        (
            "POST",
            ("/infer", "camera=gate&x=%20y"),
            b"a picture",
            "8wUsUG4+xNXNMEnu46o/Q+hPlRVils4GqudEVLPMhwM=",
        ),
        (
            "GET",
            ("/infer/result/abc", ""),
            b"",
            "H0f9jca2jDeoBIjWm8jo3P+2fF+yL9d986fnpebQTzY=",
        ),
    ],
)
def test_what_another_library_signed_is_accepted(method, target, body, signature):
    """Made by http-message-signatures 3.0.0 for these requests, key and time."""
    clock = FakeClock(datetime.fromtimestamp(1_800_000_000, UTC))
    headers = {
        "Content-Digest": _DIGESTS[body],
        "Signature-Input": (
            'emberlink=("@method" "@path" "@query" "content-digest");created=1800000000;'
            'keyid="gate";alg="hmac-sha256";nonce="AAAAAAAAAAAAAAAAAAAAAA"'
        ),
        "Signature": f"emberlink=:{signature}:",
    }
    path, query = target
    assert _verifier(clock).verify(_signed(headers, method, path, query, body)) == "gate"


@pytest.mark.parametrize(
    "change",
    [
        {"method": "DELETE"},
        {"path": "/infer/async"},
        {"query": "camera=yard"},
        {"body": b"another picture"},
    ],
)
def test_a_request_that_was_changed_on_the_way_is_refused(clock, change):
    request = _signed(_headers(clock), **change)
    assert _code(_verifier(clock), request) is ErrorCode.SIGNATURE_INVALID


def test_a_body_swapped_together_with_its_digest_is_refused(clock):
    headers = _headers(clock)
    headers["Content-Digest"] = _headers(clock, body=b"evil")["Content-Digest"]
    request = _signed(headers, body=b"evil")
    assert _code(_verifier(clock), request) is ErrorCode.SIGNATURE_INVALID


def test_a_wrong_key_and_an_unknown_name_look_alike(clock):
    wrong = _signed(_headers(clock, key=b"x" * 32))
    unknown = _signed(_headers(clock, edge_id="stranger"))
    assert _code(_verifier(clock), wrong) is ErrorCode.SIGNATURE_INVALID
    assert _code(_verifier(clock), unknown) is ErrorCode.SIGNATURE_INVALID


def test_an_empty_key_does_not_sign_for_an_unknown_name(clock):
    request = _signed(_headers(clock, key=b"", edge_id="stranger"))
    assert _code(_verifier(clock), request) is ErrorCode.SIGNATURE_INVALID


def test_one_edge_cannot_sign_in_the_name_of_another(clock):
    verifier = _verifier(clock, gate=(_KEY,), yard=(_OLD_KEY,))
    request = _signed(_headers(clock, key=_OLD_KEY, edge_id="gate"))
    assert _code(verifier, request) is ErrorCode.SIGNATURE_INVALID


def test_a_request_that_comes_twice_is_refused_the_second_time(clock):
    verifier, request = _verifier(clock), _signed(_headers(clock))
    assert _code(verifier, request) is None
    assert _code(verifier, request) is ErrorCode.SIGNATURE_REPLAYED


def test_a_request_cannot_be_replayed_as_long_as_its_time_is_accepted(clock):
    ahead = FakeClock(clock.now_at() + timedelta(seconds=SKEW_S))
    verifier, request = _verifier(clock), _signed(_headers(ahead))
    assert _code(verifier, request) is None
    clock.advance(2 * SKEW_S - 1)
    assert _code(verifier, request) is ErrorCode.SIGNATURE_REPLAYED
    clock.advance(2)
    assert _code(verifier, request) is ErrorCode.SIGNATURE_CLOCK


def test_a_forged_request_does_not_use_up_the_nonce_of_the_right_one(clock):
    verifier, headers = _verifier(clock), _headers(clock)
    assert _code(verifier, _signed(headers, body=b"evil")) is ErrorCode.SIGNATURE_INVALID
    assert _code(verifier, _signed(headers)) is None


@pytest.mark.parametrize(
    ("offset_s", "code"),
    [
        (SKEW_S - 1, None),
        (-SKEW_S + 1, None),
        (SKEW_S + 2, ErrorCode.SIGNATURE_CLOCK),
        (-SKEW_S - 2, ErrorCode.SIGNATURE_CLOCK),
    ],
)
def test_a_clock_may_be_wrong_by_two_minutes(clock, offset_s, code):
    theirs = FakeClock(clock.now_at() + timedelta(seconds=offset_s))
    assert _code(_verifier(clock), _signed(_headers(theirs))) is code


def test_a_wrong_clock_is_told_by_how_much(clock):
    theirs = FakeClock(clock.now_at() - timedelta(hours=1))
    with pytest.raises(RequestError, match="3600 s behind"):
        _verifier(clock).verify(_signed(_headers(theirs)))


@pytest.mark.parametrize("missing", ["Signature", "Signature-Input", "Content-Digest"])
def test_a_request_without_a_signature_is_told_so(clock, missing):
    headers = _headers(clock)
    del headers[missing]
    assert _code(_verifier(clock), _signed(headers)) is ErrorCode.SIGNATURE_MISSING


@pytest.mark.parametrize(
    ("header", "old", "new"),
    [
        ("Signature-Input", '"content-digest"', '"content-length"'),
        ("Signature-Input", '"@method" ', ""),
        ("Signature-Input", ";alg=", ";alg2="),
        ("Signature-Input", '"hmac-sha256"', '"none"'),
        ("Signature-Input", ";keyid=", ";keyid2="),
        ("Signature-Input", "created=", "created=1;created="),
        ("Signature-Input", "emberlink=", "emberlink =("),
        ("Signature-Input", ";nonce=", "\r\n;nonce="),
        ("Signature", "emberlink=", "other="),
        ("Signature", "=:", "=:!"),
        ("Signature", "emberlink=:", ""),
        ("Content-Digest", "sha-256", "sha-512"),
    ],
)
def test_headers_that_are_not_ours_are_refused(clock, header, old, new):
    headers = _headers(clock)
    assert old in headers[header]
    headers[header] = headers[header].replace(old, new, 1)
    assert _code(_verifier(clock), _signed(headers)) is ErrorCode.SIGNATURE_INVALID


@pytest.mark.parametrize("text", ["", "x", "=" * 10_000, "é", "emberlink=()", "\ud800"])
def test_any_text_in_the_headers_is_refused_without_breaking(clock, text):
    headers = {"Signature-Input": text or " ", "Signature": text or " ", "Content-Digest": text}
    code = _code(_verifier(clock), _signed(headers))
    assert code in (ErrorCode.SIGNATURE_INVALID, ErrorCode.SIGNATURE_MISSING)


def test_nonces_are_forgotten_when_their_time_is_over(clock):
    nonces = MemoryNonces(clock)
    for number in range(1000):
        assert nonces.is_new("gate", str(number), 10.0)
    clock.advance(10)
    assert nonces.is_new("gate", "next", 10.0)
    assert len(nonces._used) == 1


# The file of keys


def test_a_new_key_is_the_newest_of_two(tmp_path):
    path = tmp_path / "state" / "keys.json"
    made = [add_key(path, "gate") for _ in range(3)]
    assert read_keys(path) == {"gate": [made[2], made[1]]}
    assert len(set(made)) == 3


def test_only_the_services_user_can_read_the_keys(tmp_path):
    path = tmp_path / "keys.json"
    for _ in range(2):
        add_key(path, "gate")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_removed_keys_are_gone_and_the_others_stay(tmp_path):
    path = tmp_path / "keys.json"
    add_key(path, "gate")
    key = add_key(path, "yard")
    assert remove_keys(path, "gate")
    assert not remove_keys(path, "gate")
    assert read_keys(path) == {"yard": [key]}


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "../x", 'a"', "ä"])
def test_a_name_that_cannot_sign_gets_no_key(tmp_path, name):
    with pytest.raises(CommandError):
        add_key(tmp_path / "keys.json", name)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": "key"}', '{"a": []}', '{"a": ["short"]}', '{"a b": ["x"]}', "\xff"]
)
def test_a_broken_file_of_keys_is_refused_by_commands_and_closes_the_door_of_a_service(
    tmp_path, text
):
    path = tmp_path / "keys.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError) as caught:
        read_keys(path)
    assert "keys.json" in caught.value.detail
    ring = KeyRing(path, FakeClock())
    assert (ring.has_edges, ring.is_empty, ring.keys_of("a")) == (True, False, ())
    assert [trouble.code for trouble in ring.troubles(datetime.now(UTC))] == ["keys_unreadable"]


def test_a_running_service_takes_a_new_key_and_keeps_the_old_ones_when_the_file_breaks(tmp_path):
    path, clock = tmp_path / "keys.json", FakeClock()
    ring = KeyRing(path, clock)
    assert ring.keys_of("gate") == ()
    key = add_key(path, "gate")
    clock.advance(1.5)
    assert ring.keys_of("gate") == (key.encode(),)
    path.write_text("broken")
    clock.advance(1.5)
    assert ring.keys_of("gate") == (key.encode(),)


def test_no_key_is_in_a_message_about_a_broken_file(tmp_path):
    path, key = tmp_path / "keys.json", new_key()
    path.write_text(json.dumps({"gate": [key, key, key]}))
    with pytest.raises(ConfigError) as caught:
        read_keys(path)
    assert key not in str(caught.value)

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.error_code import ErrorCode
from shared.errors import RequestError
from shared.web import arguments

_json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def _code(call, *args, **kwargs) -> ErrorCode:
    with pytest.raises(RequestError) as caught:
        call(*args, **kwargs)
    return caught.value.code


def _outcome(call, *args) -> tuple[ErrorCode | None, Any]:
    try:
        return None, call(*args)
    except RequestError as err:
        return err.code, None


@given(st.dictionaries(st.text(), _json_values))
def test_an_object_survives_its_journey(value):
    encoded = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    assert arguments.parse_json_object(encoded) == json.loads(encoded)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_request_error(body):
    code, value = _outcome(arguments.parse_json_object, body)
    assert code is ErrorCode.REQUEST_NOT_JSON or isinstance(value, dict)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"text"',
        b"null",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": ' + b"[" * 200_000,
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b'{"a": ' + b"9" * 5_000 + b"}",
        b"\xff\xfe{}",
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "\xed\xa0\x80"}',
        b"{'a': 1}",
        b'{"a": 1',
    ],
)
def test_what_is_not_an_object_of_strict_json_is_refused(body):
    assert _code(arguments.parse_json_object, body) is ErrorCode.REQUEST_NOT_JSON


def test_a_byte_order_mark_does_no_harm():
    assert arguments.parse_json_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@given(st.binary(min_size=1, max_size=300))
def test_base64_gives_back_what_was_encoded(data):
    text = base64.b64encode(data).decode()
    assert arguments.decode_base64(text, "image", 1000) == data


@given(st.binary(min_size=1, max_size=300))
def test_base64_may_be_a_data_url_with_line_breaks(data):
    text = base64.encodebytes(data).decode()
    assert arguments.decode_base64(f"data:image/jpeg;base64,{text}", "image", 1000) == data


@given(st.text(max_size=100))
def test_any_text_is_base64_or_a_request_error(text):
    code, decoded = _outcome(arguments.decode_base64, text, "image", 1000)
    assert code is ErrorCode.REQUEST_BASE64 or decoded


@pytest.mark.parametrize("value", [None, 7, 1.5, True, ["a"], {"a": 1}])
def test_a_picture_that_is_no_text_is_an_invalid_field(value):
    code = _code(arguments.decode_base64, value, "image", 1000)
    assert code is ErrorCode.REQUEST_FIELD_INVALID


@pytest.mark.parametrize("text", ["", "====", "abc", "ab-_", "Zm9v!", "é"])
def test_what_is_not_base64_is_refused(text):
    assert _code(arguments.decode_base64, text, "image", 1000) is ErrorCode.REQUEST_BASE64


def test_too_long_a_text_is_refused_before_it_is_decoded():
    code = _code(arguments.decode_base64, "!" * 10_000, "image", 1000)
    assert code is ErrorCode.IMAGE_TOO_MANY_BYTES


@given(st.integers(1, 600_000))
def test_a_deadline_is_whole_milliseconds(ms):
    assert arguments.parse_deadline_ms(str(ms)) == ms


def test_no_deadline_is_none():
    assert arguments.parse_deadline_ms(None) is None


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "1.5", "1e3", "600001", "9" * 400, "²", "١٢", " 5", "nan", "5\n"]
)
def test_any_other_deadline_is_refused(text):
    code = _code(arguments.parse_deadline_ms, text)
    assert code is ErrorCode.REQUEST_DEADLINE_INVALID


@given(st.text(max_size=30))
def test_any_text_is_a_deadline_or_a_request_error(text):
    code, ms = _outcome(arguments.parse_deadline_ms, text)
    assert code is ErrorCode.REQUEST_DEADLINE_INVALID or 1 <= ms <= 600_000


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=x"],
)
def test_a_content_type_is_known_whatever_its_parameters(content_type):
    assert arguments.media_type_of(content_type) == "application/json"


@pytest.mark.parametrize("name", ["yard", "Yard-2", "a.b_c", "x" * 64])
def test_a_plain_camera_name_is_taken(name):
    assert arguments.parse_fields({"camera": name}).camera == name


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "../x", "a\n", "é", 7, None, ["a"]])
def test_an_odd_camera_name_is_an_invalid_field_or_absent(name):
    if name is None:
        assert arguments.parse_fields({"camera": None}).camera is None
    else:
        assert _code(arguments.parse_fields, {"camera": name}) is ErrorCode.REQUEST_FIELD_INVALID


def test_a_field_nobody_knows_is_refused_by_name():
    with pytest.raises(RequestError, match="camrea"):
        arguments.parse_fields({"camrea": "yard"})


def test_a_thousand_wrong_fields_make_a_short_answer():
    with pytest.raises(RequestError) as caught:
        arguments.parse_fields({"x" * 1000 + str(n): "y" * 1000 for n in range(1000)})
    assert len(caught.value.detail) < 5000


def test_an_empty_name_holds_no_list_of_pictures():
    code = _code(
        arguments.take_pictures,
        {"": ["aGk="]},
        single="image",
        several=None,
        max_bytes=1000,
        max_batch=4,
    )
    assert code is ErrorCode.REQUEST_FIELD_MISSING


@pytest.mark.parametrize("images", [[], "aGk=", {"a": 1}, None, 7])
def test_several_pictures_are_a_list_that_is_not_empty(images):
    code = _code(
        arguments.take_pictures,
        {"images": images},
        single="image",
        several="images",
        max_bytes=1000,
        max_batch=4,
    )
    assert code is ErrorCode.REQUEST_FIELD_INVALID


def test_one_picture_above_the_batch_limit_is_refused_before_any_is_decoded():
    code = _code(
        arguments.take_pictures,
        {"images": ["!"] * 5},
        single="image",
        several="images",
        max_bytes=1000,
        max_batch=4,
    )
    assert code is ErrorCode.BATCH_TOO_LARGE


def test_one_picture_of_a_list_that_is_not_base64_does_not_fail_the_others():
    posted = arguments.take_pictures(
        {"images": ["aGk=", "!", 7]}, single="image", several="images", max_bytes=1000, max_batch=4
    )
    assert posted.picture(0) == b"hi"
    assert {index: fault.code for index, fault in posted.faults.items()} == {
        1: ErrorCode.REQUEST_BASE64,
        2: ErrorCode.REQUEST_FIELD_INVALID,
    }
    with pytest.raises(RequestError):
        posted.picture(1)

from __future__ import annotations

import re
from collections import Counter

import pytest

from shared.error_code import ErrorCode, by_http_status, by_slug

# Numbers never change their meaning and are never used twice: rows are added here, never changed.
_TABLE = [
    (0, "success", 200, False),
    (400, "bad-request", 400, False),
    (404, "not-found", 404, False),
    (405, "method-not-allowed", 405, False),
    (413, "body-too-large", 413, False),
    (429, "too-many-requests", 429, True),
    (503, "unavailable", 503, True),
    (1001, "not-json", 400, False),
    (1002, "content-type", 415, False),
    (1003, "field-missing", 400, False),
    (1004, "field-invalid", 400, False),
    (1005, "bad-base64", 400, False),
    (1006, "not-a-picture", 400, False),
    (1007, "damaged-picture", 400, False),
    (1008, "too-many-pixels", 413, False),
    (1009, "picture-too-small", 400, False),
    (1010, "picture-too-large", 413, False),
    (1011, "batch-too-large", 413, False),
    (1012, "image-path-disabled", 403, False),
    (1013, "image-path-forbidden", 403, False),
    (1014, "deadline-invalid", 400, False),
    (1015, "idempotency-key-reused", 422, False),
    (1016, "idempotency-running", 409, True),
    (1017, "result-unknown", 404, False),
    (1018, "result-expired", 410, False),
    (1019, "callback-forbidden", 403, False),
    (1020, "signature-missing", 401, False),
    (1021, "signature-invalid", 401, False),
    (1022, "signature-clock", 401, False),
    (1023, "signature-replayed", 401, False),
    (1024, "not-allowed", 403, False),
    (1030, "sign-in-needed", 401, False),
    (1031, "sign-in-wrong", 401, False),
    (1032, "forged-change", 403, False),
    (2001, "model-not-ready", 503, True),
    (2002, "model-failed", 500, True),
    (2003, "model-refused", 500, False),
    (2004, "runtime-conflict", 500, False),
    (2005, "edge-overloaded", 503, True),
    (3001, "cloud-unreachable", 502, True),
    (3002, "cloud-timeout", 504, True),
    (3003, "cloud-bad-answer", 502, False),
    (3004, "cloud-overloaded", 503, True),
    (3005, "deadline-missed", 504, True),
    (3006, "cloud-refused", 502, False),
    (3007, "engine-unavailable", 503, True),
    (3008, "job-given-up", 500, False),
    (4001, "store-unavailable", 503, True),
    (4002, "store-schema", 500, False),
    (4003, "event-unknown", 404, False),
    (4004, "frame-unknown", 404, False),
    (4005, "evidence-damaged", 500, False),
    (4006, "backup-damaged", 500, False),
    (5001, "camera-unavailable", 503, True),
    (5002, "camera-source-invalid", 500, False),
    (5003, "selftest-running", 409, True),
    (9001, "config-invalid", 500, False),
    (9002, "internal", 500, False),
    (9003, "command-refused", 500, False),
]


def test_the_table_is_what_callers_were_promised():
    rows = [(c.row.number, c.row.slug, c.row.http_status, c.row.retryable) for c in ErrorCode]
    assert rows == _TABLE


@pytest.mark.parametrize("field", ["number", "slug"])
def test_no_number_and_no_slug_is_used_twice(field):
    counts = Counter(getattr(code.row, field) for code in ErrorCode)
    assert max(counts.values()) == 1


def test_no_row_is_an_alias_of_another():
    assert len(ErrorCode.__members__) == len(list(ErrorCode))


@pytest.mark.parametrize("code", ErrorCode)
def test_a_number_lies_in_a_range_that_tells_what_it_is_about(code):
    ranges = [(0, 0), (100, 599), (1000, 1999), (2000, 2999), (3000, 3999), (4000, 4999)]
    ranges += [(5000, 5999), (9000, 9999)]
    assert any(low <= code.row.number <= high for low, high in ranges)


@pytest.mark.parametrize("code", ErrorCode)
def test_a_plain_http_error_has_its_status_as_number(code):
    if 100 <= code.row.number <= 599:
        assert code.row.number == code.row.http_status


@pytest.mark.parametrize("code", ErrorCode)
def test_a_row_says_in_both_languages_what_happened_and_what_to_do(code):
    row = code.row
    assert row.text_en.isascii()
    assert any("\u4e00" <= sign <= "\u9fff" for sign in row.text_zh)
    assert row.hint.endswith(".")
    assert any("\u4e00" <= sign <= "\u9fff" for sign in row.hint_zh)
    assert row.hint_zh.endswith("。")
    named = re.compile(r"`[^`]+`|/[a-z]+|[a-z]+[._][a-z_]+|\b[A-Z][\w-]+-[\w-]+|[1-9]\d*")
    assert set(named.findall(row.hint_zh)) <= set(named.findall(row.hint))


@pytest.mark.parametrize("code", ErrorCode)
def test_a_code_is_found_by_its_slug(code):
    assert by_slug(code.row.slug) is code


@pytest.mark.parametrize(
    ("status", "number"), [(404, 404), (405, 405), (418, 400), (431, 400), (501, 400), (500, 9002)]
)
def test_a_status_of_the_framework_finds_its_code(status, number):
    assert by_http_status(status).row.number == number

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.web.http_date import read_http_date


@given(st.integers(min_value=0, max_value=2**34))
def test_what_a_server_writes_is_read(seconds):
    at = datetime.fromtimestamp(seconds, UTC)
    assert read_http_date(format_datetime(at, usegmt=True)) == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "Mon, 20 Nov 99995 19:12:08 GMT",
        "Mon, 20 Nov 99999999999999999999 19:12:08 GMT",
        "Mon, 20 Nov 1995 19:12:99999999999999999999 GMT",
        "Mon, 20 Nov 1995 19:12:08 +99999999999999999999",
        "Mon, 20 Nov 1995 19:12:08 -0000",
    ],
)
def test_what_is_no_date_with_a_zone_is_none(text):
    assert read_http_date(text) is None


_NUMBER = st.integers(min_value=0, max_value=10**25)


@given(_NUMBER, _NUMBER, _NUMBER, _NUMBER, st.integers(-(10**25), 10**25))
def test_no_numbers_make_it_fail(day, year, hour, second, zone):
    told_at = read_http_date(f"Mon, {day} Nov {year} {hour}:00:{second} {zone:+05d}")
    assert told_at is None or abs(told_at.utcoffset() or timedelta()) < timedelta(days=1)


@given(st.text(max_size=60))
def test_no_text_makes_it_fail(text):
    read_http_date(text)

from __future__ import annotations

import base64
import json
import os
import re
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.lines import CallerLine
from tests.helpers.pictures import fire_jpeg
from tests.helpers.raw_http import raw_call

_FIRE_BASE64 = base64.b64encode(fire_jpeg()).decode()


def _post_json(running, path: str, body: bytes):
    return running.show(path, body, content_type="application/json")


@pytest.mark.parametrize(
    "body",
    [
        b'{"image": NaN}',
        b'{"image": "x", "camera": Infinity}',
        b"[" * 1_000_000,
        b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
        b'{"image": ' + b"9" * 1_000_000 + b"}",
        b"\xff\xfe\x00",
        b'{"image": "\xff"}',
        '{"image": "x"}'.encode("utf-16"),
        b"",
        b"null",
        b'{"image": "x"} trailing',
    ],
    ids=[
        "nan",
        "inf",
        "deep",
        "deep_closed",
        "huge_int",
        "bytes",
        "not_utf8",
        "utf16",
        "empty",
        "null",
        "trailing",
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/batch_predict"])
def test_json_made_to_harm_is_refused(edge, path, body):
    answer = _post_json(edge, path, body)
    assert (answer.status_code, answer.json()["err_no"]) == (400, 1001)


@pytest.mark.parametrize(
    "value",
    [
        {"image": {"$ref": "x"}},
        {"image": ["a"]},
        {"image": 1e308},
        {"image": _FIRE_BASE64, "camera": 10**300},
        {"image": _FIRE_BASE64, "camera": {"a": "b"}},
        {"image": _FIRE_BASE64, "camera": "../../etc"},
        {"image": _FIRE_BASE64, "camera": "a\r\nSet-Cookie: b"},
        {"image": _FIRE_BASE64, "camera": "\u0000"},
        {"image": _FIRE_BASE64, "camera": "\u202eyard"},
        {"image": _FIRE_BASE64, "camera": "<script>alert(1)</script>"},
        {"image": _FIRE_BASE64, "camera": "'; DROP TABLE charge; --"},
        {"image": _FIRE_BASE64, "__proto__": {}},
        {"image": _FIRE_BASE64, "\ud800": 1},
        {"image": _FIRE_BASE64, "x" * 100_000: 1},
        {"image": _FIRE_BASE64, **{str(n): n for n in range(2_000)}},
    ],
    ids=lambda value: re.sub(r"[^a-z]", "", str(value)[-24:].lower()) or "odd",
)
def test_an_odd_field_is_an_invalid_field_and_a_short_answer(edge, value):
    answer = _post_json(edge, "/predict", json.dumps(value).encode())
    assert (answer.status_code, answer.json()["err_no"]) == (400, 1004)
    assert len(answer.content) < 5_000


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    body=st.binary(max_size=300),
    content_type=st.sampled_from(
        [
            "image/jpeg",
            "application/json",
            "multipart/form-data; boundary=x",
            "text/plain",
            "",
            "multipart/form-data",
        ]
    ),
)
def test_any_bytes_get_the_envelope_and_a_status_of_the_caller_s_fault(edge, body, content_type):
    answer = edge.show("/joint_predict", body, content_type=content_type)
    assert 400 <= answer.status_code < 500
    assert answer.json()["err_no"] >= 400


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 5_000), value=st.integers(0, 255))
def test_a_jpeg_with_any_byte_changed_is_answered(edge, at, value):
    jpeg = bytearray(fire_jpeg())
    jpeg[at % len(jpeg)] = value
    assert edge.show("/predict", bytes(jpeg)).json()["err_no"] < 2000


@pytest.mark.parametrize(
    "body",
    [
        b"--x\r\n\r\n",
        b"--x\r\nContent-Disposition: form-data; name=image\r\n\r\nhello",
        b"--x\r\nContent-Disposition: form-data; name=image; filename=../../etc/passwd\r\n\r\nhi\r\n--x--\r\n",
        b"--x\r\n" + b"A: " + b"b" * 200_000 + b"\r\n\r\n",
        b"--x\r\nContent-Disposition: form-data; name=f\r\n\r\n1\r\n" * 200 + b"--x--\r\n",
        b"no boundary at all",
    ],
    ids=["cut_head", "cut_body", "path_in_name", "long_header", "many_parts", "no_boundary"],
)
def test_a_form_made_to_harm_is_refused(edge, body):
    answer = edge.show("/predict", body, content_type="multipart/form-data; boundary=x")
    assert 400 <= answer.status_code < 500
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(("service", "path"), [("cloud", "/fire_detector"), ("edge", "/predict")])
def test_a_form_of_a_million_fields_is_refused_before_they_are_taken_apart(request, service, path):
    running = request.getfixturevalue(service)
    body = b"a=1&" * 1_000_000
    before_mb = psutil.Process().memory_info().rss / 1e6
    answer = running.show(path, body, content_type="application/x-www-form-urlencoded")
    assert (answer.status_code, answer.json()["err_no"]) == (413, 413)
    assert psutil.Process().memory_info().rss / 1e6 - before_mb < 100


@pytest.mark.parametrize(
    "req_id", ["a\r\nSet-Cookie: b=c", "a\nb", "a\0b", "é", "a;b", "x" * 1000, '"><script>']
)
def test_no_id_reaches_a_header_that_could_break_out_of_it(edge, req_id):
    body = json.dumps({"req_id": req_id, "image": "!"}).encode()
    answer = _post_json(edge, "/predict", body)
    assert re.fullmatch(r"[0-9A-Z]{26}", answer.headers["X-Request-ID"])
    assert "Set-Cookie" not in answer.headers


def test_no_id_in_a_query_breaks_out_of_a_header(edge):
    request = b"GET /healthz?req_id=a%0d%0aSet-Cookie:%20b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = raw_call(edge.port, request)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("trace", ["00-" + "g" * 32 + "-x-01", "x\ty", "00-" + "0" * 32, "é"])
def test_an_odd_trace_is_left_aside(edge, trace):
    answer = edge.show("/joint_predict", fire_jpeg(), traceparent=trace.encode("latin-1"))
    assert answer.json()["err_no"] == 0


@pytest.mark.parametrize(
    "slug", ["<script>alert(1)</script>", "..%2f..%2fetc%2fpasswd", "%00", "x" * 5000]
)
def test_the_pages_of_errors_show_nothing_a_caller_sent(edge, slug):
    answer = edge.get(f"/errors/{slug}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/json")
    assert len(answer.content) < 20_000


def test_no_answer_tells_which_server_it_is(edge):
    assert "Server" not in edge.get("/health").headers


def test_no_error_shows_where_the_code_lies(edge, monkeypatch):
    def boom(_line, _frame):
        raise RuntimeError("/srv/secret/path.py exploded")

    monkeypatch.setattr(CallerLine, "classify", boom)
    answer = edge.show("/predict", fire_jpeg())
    assert (answer.status_code, answer.json()["err_no"]) == (500, 9002)
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


# --- image_path ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tricks(picture_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.jpg").write_bytes(fire_jpeg())
    (picture_root / "fire.jpg").write_bytes(fire_jpeg())
    (picture_root / "link.jpg").symlink_to(outside / "secret.jpg")
    (picture_root / "linked").symlink_to(outside)
    (picture_root / "inner.jpg").symlink_to(picture_root / "fire.jpg")
    (picture_root / "loop.jpg").symlink_to(picture_root / "loop.jpg")
    (picture_root / "folder").mkdir()
    os.mkfifo(picture_root / "pipe.jpg")
    return outside


def _look_at(cloud, path: str):
    body = json.dumps({"image_path": path}).encode()
    return _post_json(cloud, "/fire_detector", body).json()


@pytest.mark.parametrize("name", ["fire.jpg", "inner.jpg", "folder/../fire.jpg", "./fire.jpg"])
def test_a_picture_inside_the_allowed_folder_is_read(cloud, picture_root, tricks, name):
    assert _look_at(cloud, f"{picture_root}/{name}")["err_no"] == 0


@pytest.mark.parametrize(
    "name",
    [
        "link.jpg",
        "linked/secret.jpg",
        "loop.jpg",
        "pipe.jpg",
        "folder",
        "",
        "gone.jpg",
        "../secret.jpg",
        "folder/../../secret.jpg",
        "fire.jpg\0.png",
        "\ud800.jpg",
        "a" * 300,
        "a/" * 100_000,
        "../" * 50 + "etc/passwd",
    ],
)
def test_nothing_outside_and_nothing_but_a_file_is_read(cloud, picture_root, tricks, name):
    started_s = time.monotonic()
    answer = _look_at(cloud, f"{picture_root}/{name}")
    assert answer["err_no"] == 1013
    assert time.monotonic() - started_s < 10.0  # a pipe without a writer would hold it for ever


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/environ",
        "/proc/self/mem",
        "/",
        "",
        "fire.jpg",
        "~",
    ],
)
def test_no_other_place_is_read(cloud, path):
    assert _look_at(cloud, path)["err_no"] == 1013


def test_a_sibling_of_the_allowed_folder_is_outside(cloud, picture_root):
    sibling = Path(f"{picture_root}-sibling")
    sibling.mkdir(exist_ok=True)
    (sibling / "a.jpg").write_bytes(fire_jpeg())
    assert _look_at(cloud, str(sibling / "a.jpg"))["err_no"] == 1013


def test_what_is_forbidden_and_what_is_missing_look_alike(cloud, picture_root, tricks):
    forbidden, missing = (
        _look_at(cloud, path) for path in ("/etc/passwd", f"{picture_root}/gone.jpg")
    )
    assert forbidden["detail"] == missing["detail"]


def test_a_file_beyond_the_limit_is_not_read_whole(cloud, picture_root):
    with (picture_root / "huge.jpg").open("wb") as file:
        file.truncate(20_000_000_000)
    before = psutil.Process().memory_info().rss
    assert _look_at(cloud, str(picture_root / "huge.jpg"))["err_no"] == 1010
    assert psutil.Process().memory_info().rss - before < 60_000_000


def test_reading_by_path_leaves_no_file_open(cloud, picture_root, tricks):
    _look_at(cloud, f"{picture_root}/folder")
    before = psutil.Process().num_fds()
    for _ in range(20):
        for name in ("folder", "pipe.jpg", "link.jpg", "fire.jpg"):
            _look_at(cloud, f"{picture_root}/{name}")
    assert psutil.Process().num_fds() - before < 10


@pytest.mark.parametrize("item", [b"[]", b"{}", b"0", b'{"a":[]}'])
def test_many_small_values_are_refused_before_they_fill_the_memory(edge, item):
    body = b'{"image": "x", "a": [' + b",".join([item] * 2_000_000) + b"]}"
    before = psutil.Process().memory_info().rss
    answer = _post_json(edge, "/predict", body)
    assert answer.json()["err_no"] == 1001
    assert psutil.Process().memory_info().rss - before < 3 * len(body) + 30_000_000

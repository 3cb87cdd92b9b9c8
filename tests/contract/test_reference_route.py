"""`/fire_detector` as its existing callers know it."""

from __future__ import annotations

import base64

import pytest
import requests

from tests.helpers.pictures import fire_jpeg
from tests.helpers.processes import free_port
from tests.helpers.services import running_cloud, taken_place

_FIRE_BASE64 = base64.b64encode(fire_jpeg()).decode()


def test_a_picture_in_json_is_answered_with_boxes(pair):
    body = pair.cloud.post("/fire_detector", json={"image": _FIRE_BASE64, "req_id": "7"}).json()
    assert (body["req_id"], body["err_no"], body["result"]["label"]) == ("7", 0, "fire")


def test_a_picture_in_a_form_is_answered_alike(pair):
    body = pair.cloud.post("/fire_detector", data={"image": _FIRE_BASE64, "req_id": "7"}).json()
    assert (body["req_id"], body["err_no"], body["result"]["label"]) == ("7", 0, "fire")


def test_a_picture_by_its_path_is_answered_alike(pair):
    (pair.root / "fire.jpg").write_bytes(fire_jpeg())
    path = str(pair.root / "fire.jpg")
    body = pair.cloud.post("/fire_detector", json={"image_path": path}).json()
    assert (body["err_no"], body["result"]["label"]) == (0, "fire")


@pytest.mark.parametrize(
    ("body", "content_type", "err_no"),
    [
        (b"{", "application/json", 1001),
        (b"x", "text/plain", 1002),
        (b"{}", "application/json", 1003),
        (b'{"image": 7}', "application/json", 1004),
        (b'{"image_path": 7}', "application/json", 1004),
        (b'{"image": "!"}', "application/json", 1005),
        (b'{"image": "R0lGODlh"}', "application/json", 1006),
        (b'{"image_path": "/etc/passwd"}', "application/json", 1013),
        (b"image=%21", "application/x-www-form-urlencoded", 1005),
    ],
)
def test_a_request_error_is_answered_with_200_and_its_number(pair, body, content_type, err_no):
    answer = pair.cloud.show("/fire_detector", body, content_type=content_type)
    assert (answer.status_code, answer.json()["err_no"]) == (200, err_no)
    assert answer.json()["status"] == 200


def test_an_id_comes_back_with_the_error_it_belongs_to(pair):
    body = pair.cloud.post("/fire_detector", json={"req_id": "mine", "image": "!"}).json()
    assert (body["req_id"], body["err_no"]) == ("mine", 1005)


@pytest.mark.parametrize("route", ["/fire_detector", "/infer"])
def test_an_id_that_is_a_number_comes_back_as_text(pair, route):
    body = pair.cloud.post(route, json={"req_id": 7, "image": _FIRE_BASE64}).json()
    assert (body["err_no"], body["req_id"]) == (0, "7")


def test_an_id_in_a_form_comes_back_although_the_route_takes_no_such_form(pair):
    answer = pair.cloud.post("/infer", data={"req_id": "mine", "image": _FIRE_BASE64})
    assert (answer.status_code, answer.json()["req_id"]) == (415, "mine")


def test_a_form_whose_plus_signs_were_not_escaped_is_understood(pair):
    assert "+" in _FIRE_BASE64
    form = f"req_id=7&image={_FIRE_BASE64}".encode()
    content_type = "application/x-www-form-urlencoded"
    body = pair.cloud.show("/fire_detector", form, content_type=content_type).json()
    assert (body["err_no"], body["result"]["label"]) == (0, "fire")


def test_a_wrong_method_keeps_its_real_status(pair):
    assert pair.cloud.get("/fire_detector").status_code == 405


def test_too_large_a_picture_keeps_its_real_status(pair):
    long = base64.b64encode(b"\xff\xd8\xff" + b"\0" * 600_000).decode()
    answer = pair.cloud.post("/fire_detector", json={"image": long})
    assert (answer.status_code, answer.json()["err_no"]) == (413, 1010)


def test_a_full_house_keeps_its_real_status(tmp_path, models):
    with (
        running_cloud(tmp_path, models, engine={"places": 1}) as cloud,
        taken_place(cloud),
    ):
        answer = cloud.post("/fire_detector", json={"image": _FIRE_BASE64})
    assert (answer.status_code, answer.json()["err_no"]) == (503, 3004)


def test_other_routes_answer_the_same_errors_with_real_statuses(pair):
    assert pair.cloud.show("/infer", b"GIF89a").status_code == 400


def test_it_also_listens_on_the_port_that_its_callers_expect(tmp_path, models):
    port = free_port()
    with running_cloud(tmp_path, models, server={"reference_port": port}):
        answer = requests.post(
            f"http://127.0.0.1:{port}/fire_detector", json={"image": _FIRE_BASE64}, timeout=10
        )
    assert answer.json()["err_no"] == 0

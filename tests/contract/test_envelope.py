from __future__ import annotations

import base64
import json

import pytest

from shared.error_code import ErrorCode
from tests.helpers.pictures import colour_bgr, fire_jpeg, png

_PREDICTIONS = ["/predict", "/joint_predict", "/adaptive_predict"]
_ENVELOPE = {"req_id", "err_no", "err_msg", "result"}
_PROBLEM = _ENVELOPE | {"type", "title", "status", "detail", "instance", "retryable"}
_FIRE_BASE64 = base64.b64encode(fire_jpeg()).decode()


def _answers_alike(answers) -> bool:
    labels = {(a.json()["result"]["label"], a.json()["result"]["confidence"]) for a in answers}
    return len(labels) == 1


@pytest.mark.parametrize("path", [*_PREDICTIONS, "/batch_predict"])
def test_a_success_of_the_edge_holds_the_envelope(pair, path):
    answer = pair.edge.show(path, fire_jpeg())
    assert answer.status_code == 200
    assert answer.json().keys() >= _ENVELOPE
    assert (answer.json()["err_no"], answer.json()["err_msg"]) == (0, "success")


def test_a_success_of_the_cloud_holds_the_envelope_and_its_cost(pair):
    body = pair.cloud.show("/infer", fire_jpeg()).json()
    assert body.keys() >= _ENVELOPE
    assert (body["err_no"], body["cost"], body["result"]["cost"]) == (0, 0.02, 0.02)


def test_an_answer_of_the_cloud_holds_what_callers_were_promised(pair):
    result = pair.cloud.show("/infer", fire_jpeg()).json()["result"]
    promised = {"label", "confidence", "detections", "cost", "latency_ms", "model"}
    assert promised <= result.keys()
    assert set(result["detections"][0]) == {"label", "score", "box_xyxy"}


@pytest.mark.parametrize("path", ["/joint_predict", "/adaptive_predict"])
def test_a_joint_answer_is_flat_at_the_top(pair, path):
    body = pair.edge.show(path, fire_jpeg()).json()
    promised = {"source", "confidence", "edge_confidence", "label", "detections", "cost"}
    assert promised | {"decision", "timing_ms", "model"} <= body.keys()


def test_a_decision_tells_everything_that_was_promised(pair):
    decision = pair.edge.show("/joint_predict", fire_jpeg()).json()["decision"]
    promised = {"forward", "reason", "policy", "tier", "value", "threshold", "price", "charged"}
    assert promised | {"budget_remaining"} <= decision.keys()


@pytest.mark.parametrize("path", [*_PREDICTIONS, "/batch_predict"])
@pytest.mark.parametrize("service", ["edge", "cloud"])
def test_an_error_holds_both_error_worlds(pair, service, path):
    wanted = path if service == "edge" else "/infer"
    answer = pair.named(service).show(wanted, b"not a picture", content_type="text/plain")
    body = answer.json()
    assert body.keys() >= _PROBLEM
    assert (body["err_no"], body["result"], body["status"]) == (1002, None, answer.status_code)


def test_the_type_of_a_problem_is_a_page_that_explains_it(pair):
    problem = pair.edge.show("/predict", b"not a picture").json()
    page = pair.edge.get(problem["type"])
    assert page.status_code == 200
    assert "JPEG or PNG" in page.text


def test_an_error_nobody_knows_has_no_page(pair):
    assert pair.edge.get("/errors/nonsense").json()["err_no"] == 404


def test_all_errors_have_a_page(pair):
    assert pair.edge.get("/errors").text.count("<tr id=") == len(ErrorCode)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/problem+json", "application/problem+json"),
        ("application/json, application/problem+json;q=0.9", "application/problem+json"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/nowhere"])
def test_a_problem_is_labelled_as_one_for_who_asks(pair, path, accept, content_type):
    answer = pair.edge.show(path, b"not a picture", Accept=accept)
    assert answer.headers["Content-Type"] == content_type


def test_the_text_of_an_error_is_chinese_for_who_asks(pair):
    body = pair.edge.show("/predict", b"x", Accept_Language="zh-CN,zh;q=0.9").json()
    assert body["err_msg"] == "数据不是 JPEG 或 PNG 图片"


def _by_header(edge, req_id):
    return edge.show("/predict", b"not a picture", X_Request_ID=req_id)


def _by_query(edge, req_id):
    return edge.post(
        "/predict", params={"req_id": req_id}, data=b"x", headers={"Content-Type": "image/png"}
    )


def _by_json(edge, req_id):
    return edge.post("/predict", json={"req_id": req_id, "image": "!"})


def _by_form(edge, req_id):
    return edge.post("/predict", data={"req_id": req_id}, files={"image": b"not a picture"})


@pytest.mark.parametrize("ask", [_by_header, _by_query, _by_json, _by_form])
def test_a_caller_s_id_comes_back_on_errors(pair, ask):
    answer = ask(pair.edge, "my-id:1.2_3")
    assert answer.json()["err_no"] != 0
    assert answer.json()["req_id"] == "my-id:1.2_3" == answer.headers["X-Request-ID"]


@pytest.mark.parametrize("ask", [_by_header, _by_query, _by_json, _by_form])
@pytest.mark.parametrize("req_id", ["has space", "x" * 65, "<script>"])
def test_an_id_that_may_not_be_echoed_is_replaced(pair, ask, req_id):
    body = ask(pair.edge, req_id).json()
    assert body["req_id"] != req_id
    assert len(body["req_id"]) == 26


def test_a_request_without_an_id_gets_one(pair):
    answer = pair.edge.show("/predict", fire_jpeg())
    assert answer.json()["req_id"] == answer.headers["X-Request-ID"] != ""


def test_a_caller_s_id_comes_back_on_success(pair):
    assert pair.edge.show("/predict", fire_jpeg(), X_Request_ID="mine").json()["req_id"] == "mine"


def test_a_caller_s_id_comes_back_from_a_route_that_is_not_there(pair):
    assert pair.edge.get("/nowhere", headers={"X-Request-ID": "mine"}).json()["req_id"] == "mine"


def test_the_three_bodies_say_the_same(pair):
    jpeg = fire_jpeg()
    raw = pair.edge.show("/predict", jpeg)
    form = pair.edge.post("/predict", files={"image": ("a.jpg", jpeg, "image/jpeg")})
    as_json = pair.edge.post("/predict", json={"image": base64.b64encode(jpeg).decode()})
    assert _answers_alike([raw, form, as_json])


@pytest.mark.parametrize(
    "content_type", ["image/jpeg", "image/png", "application/octet-stream", "IMAGE/JPEG; x=y"]
)
def test_the_first_bytes_decide_and_not_the_label(pair, content_type):
    encoded = png(colour_bgr(red=240, blue=20))
    answer = pair.edge.show("/predict", encoded, content_type=content_type)
    assert answer.json()["result"]["label"] == "fire"


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"]
)
@pytest.mark.parametrize(("service", "path"), [("edge", "/predict"), ("cloud", "/fire_detector")])
def test_json_is_json_whatever_stands_behind_it(pair, service, path, content_type):
    body = json.dumps({"image": _FIRE_BASE64}).encode()
    answer = pair.named(service).show(path, body, content_type=content_type)
    assert answer.json()["err_no"] == 0


def test_the_camera_and_the_id_may_come_with_the_picture_in_the_query(pair):
    answer = pair.edge.post(
        "/predict",
        params={"camera": "yard", "req_id": "q"},
        data=fire_jpeg(),
        headers={"Content-Type": "image/jpeg"},
    )
    assert answer.json()["req_id"] == "q"


def test_a_method_that_is_not_allowed_names_the_ones_that_are(pair):
    answer = pair.edge.get("/predict")
    assert (answer.status_code, answer.json()["err_no"]) == (405, 405)
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize("path", ["/nowhere", "/predict"])
def test_the_detail_names_what_was_asked_for(pair, path):
    assert pair.edge.get(f"{path}?req_id=q").json()["detail"] == f"GET {path}"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nowhere"),
        ("GET", "/predict"),
        ("POST", "/predict"),
        ("POST", "/predict/"),
        ("POST", "//predict"),
        ("POST", "/predict//"),
        ("DELETE", "/joint_predict"),
        ("PROPFIND", "/"),
        ("GET", "/%00"),
        ("GET", "/%ff%fe"),
        ("GET", "/../../etc/passwd"),
        ("GET", "/nowhere?" + "a=b&" * 2000),
        ("POST", "/batch_predict?joint=1"),
    ],
)
@pytest.mark.parametrize("service", ["edge", "cloud"])
def test_no_wrong_call_is_answered_with_a_page(pair, service, method, path):
    answer = pair.named(service).call(method, path, allow_redirects=False)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["err_no"] >= 100
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize("service", ["edge", "cloud"])
def test_a_refusal_says_what_was_expected_in_words_of_its_own(pair, service):
    path = {"edge": "/predict", "cloud": "/infer"}[service]
    ask = getattr(pair, service)
    stranger = ask.show(path + "?colour=red", fire_jpeg())
    assert stranger.json()["detail"] == "colour is not known here"
    late = ask.show(path, fire_jpeg(), X_Request_Deadline_Ms="soon")
    assert late.json()["detail"] == "expected whole milliseconds, 1…600000, got 'soon'"
    other = ask.show(path, fire_jpeg(), content_type="text/plain")
    assert "image/jpeg" in other.json()["detail"]


def test_a_report_of_which_everything_is_missing_is_told_so(pair):
    detail = pair.cloud.post("/edges/heartbeat", json={}).json()["detail"]
    assert detail.startswith("name is missing; version is missing; ")

"""Routes, document and answers agree: real services, asked what their own documents say."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import checks as known

from edge.alert.message import sample
from edge.config.alerts import AlertsSection
from edge.wiring.sinks import build_receivers
from shared.clock import SystemClock
from shared.web.openapi import undescribed
from tests.contract.conftest import Pair
from tests.helpers.evidence import fill
from tests.helpers.pictures import fire_jpeg, unsure_jpeg
from tests.helpers.services import Running, running_cloud, running_edge
from tests.helpers.stand_in_clouds import answers, stand_in_cloud

_BOTH = pytest.mark.parametrize("service", ["edge", "cloud"])
_CHECKS = [
    known.not_a_server_error,
    known.status_code_conformance,
    known.content_type_conformance,
    known.response_headers_conformance,
    known.response_schema_conformance,
]
_EXAMPLES = 5  # a call; one alone finds most of what there is to find, and the suite stays quick
_SETTINGS = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, models: Any) -> Iterator[Pair]:
    """Run a pair of its own: random calls leave labels, jobs and audit lines behind."""
    folder = tmp_path_factory.mktemp("openapi")
    cameras = {"yard": {"source": "sim:"}}
    with (
        running_cloud(folder / "cloud", models) as cloud,
        running_edge(folder / "edge", models, cloud.url, cameras=cameras) as edge,
    ):
        fill(edge.service._kept.records, "e1")
        yield Pair(edge=edge, cloud=cloud, root=folder)


def document_of(running: Running) -> dict[str, Any]:
    return dict(running.get("/openapi.json").json())


def schema_of(running: Running) -> Any:
    return schemathesis.openapi.from_dict(document_of(running))


@_BOTH
def test_every_route_is_in_the_document(world, service):
    assert undescribed(world.named(service).service.app) == []


@_BOTH
def test_everything_in_the_document_is_a_route(world, service):
    running = world.named(service)
    rules = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in running.service.app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    paths = document_of(running)["paths"]
    told = {(path, method) for path, item in paths.items() for method in item}
    assert told
    assert told <= rules


@_BOTH
def test_the_document_is_an_openapi_3_1_document(world, service):
    told = document_of(world.named(service))
    assert told["openapi"].startswith("3.1.")
    assert not list(OpenAPIV31SpecValidator(told).iter_errors())


def test_the_edge_describes_the_alert_that_a_webhook_gets(world):
    told = document_of(world.edge)
    with stand_in_cloud(answers({})) as receiver:
        alerts = AlertsSection.model_validate(
            {"sinks": {"duty": {"kind": "webhook", "url": receiver.url}}}
        )
        sink = build_receivers(alerts, (), SystemClock())["duty"].sink
        for picture in (fire_jpeg(), None):
            sink.deliver(sample(), picture)
        sink.close()
    content = told["webhooks"]["alert"]["post"]["requestBody"]["content"]["application/json"]
    schema = {**content["schema"], "components": told["components"]}
    assert len(receiver.calls) == 2
    for call in receiver.calls:
        jsonschema.validate(json.loads(call.body), schema)


# schemathesis draws a few choices of its own from `random`, which hypothesis warns of.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@_BOTH
def test_whatever_the_document_allows_is_answered_as_it_says(world, service):
    running = world.named(service)
    operations = list(schema_of(running).get_all_operations())
    assert operations
    for operation in operations:

        @_SETTINGS
        @given(case=operation.ok().as_strategy())
        def answers_as_told(case: Any) -> None:
            case.call_and_validate(base_url=running.url, checks=_CHECKS, timeout=20)

        answers_as_told()


_BASE64 = base64.b64encode(fire_jpeg()).decode()
_RAW = {"data": fire_jpeg(), "headers": {"Content-Type": "image/jpeg"}}
_GOOD = {
    "edge": [
        ("post", "/predict", "/predict", _RAW),
        ("post", "/joint_predict", "/joint_predict", _RAW),
        ("post", "/joint_predict", "/joint_predict", {"files": {"image": unsure_jpeg()}}),
        ("post", "/adaptive_predict", "/adaptive_predict", {"json": {"image": _BASE64}}),
        ("post", "/batch_predict", "/batch_predict", {"json": {"images": [_BASE64, "x"]}}),
        ("post", "/batch_predict", "/batch_predict?joint=1", {"json": {"images": [_BASE64]}}),
        ("get", "/policy", "/policy", {}),
        ("get", "/policy/audits", "/policy/audits", {}),
        ("get", "/policy/explain", "/policy/explain?fire=0.4", {}),
        ("get", "/cameras", "/cameras", {}),
        ("get", "/events", "/events", {}),
        ("get", "/events/{event_id}", "/events/e1", {}),
        ("get", "/events/{event_id}/frames", "/events/e1/frames", {}),
        ("get", "/events/{event_id}/frames/{frame_id}", "/events/e1/frames/e1-0", {}),
        ("post", "/events/{event_id}/acknowledge", "/events/e1/acknowledge", {"json": {}}),
        ("post", "/events/{event_id}/label", "/events/e1/label", {"json": {"mark": "false"}}),
        ("post", "/events/{event_id}/hold", "/events/e1/hold", {"json": {"is_held": True}}),
        ("post", "/models/reload", "/models/reload", {}),
        ("get", "/audit", "/audit", {}),
        ("get", "/troubles", "/troubles", {}),
    ],
    "cloud": [
        ("post", "/infer", "/infer", _RAW),
        ("post", "/infer/batch", "/infer/batch", {"json": {"images": [_BASE64, "x"]}}),
        ("post", "/infer/async", "/infer/async", _RAW),
        ("post", "/fire_detector", "/fire_detector", {"json": {"image": _BASE64}}),
        ("get", "/models", "/models", {}),
        ("post", "/models/reload", "/models/reload", {}),
        ("get", "/models/edge/latest", "/models/edge/latest", {}),
    ],
}
_GOOD_CALLS = [(service, *call) for service, calls in _GOOD.items() for call in calls]


@pytest.mark.parametrize(("service", "method", "template", "path", "sent"), _GOOD_CALLS)
def test_a_success_is_answered_as_the_document_says(world, service, method, template, path, sent):
    running = world.named(service)
    answer = running.call(method.upper(), path, **sent)
    assert answer.status_code in (200, 202), answer.text
    operation = schema_of(running)[template][method.upper()]
    operation.validate_response(schemathesis.Response.from_requests(answer, verify=False))


def test_a_result_is_answered_as_the_document_says_while_it_waits_and_when_it_is_there(world):
    cloud = world.cloud
    operation = schema_of(cloud)["/infer/result/{job_id}"]["GET"]
    job_id = cloud.post("/infer/async", **_RAW).json()["request_id"]
    for _ in range(100):
        answer = cloud.get(f"/infer/result/{job_id}")
        operation.validate_response(schemathesis.Response.from_requests(answer, verify=False))
        if answer.status_code == 200:
            return
    pytest.fail("the job did not finish")


@_BOTH
def test_the_document_is_sent_once_and_then_known_by_its_tag(world, service):
    running = world.named(service)
    tag = running.get("/openapi.json").headers["ETag"]
    assert running.get("/openapi.json", headers={"If-None-Match": tag}).status_code == 304


@_BOTH
def test_the_viewer_comes_from_the_service_itself(world, service):
    page = world.named(service).get("/docs")
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    viewer, own = re.findall(r'<script[^>]* src="([^"]+)"', page.text)
    for encoding, packed in (("gzip", "gzip"), ("identity", None), ("gzip;q=0", None)):
        program = world.named(service).get(viewer, headers={"Accept-Encoding": encoding})
        assert program.headers.get("Content-Encoding") == packed
        assert program.headers["Content-Type"].startswith("text/javascript")
        assert "RapiDoc 9.3.8" in program.text[:200]
    assert world.named(service).get(own).headers["Content-Type"].startswith("text/javascript")

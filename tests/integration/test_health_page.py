"""What *Health* tells of the clouds' last hour and of the model that runs."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from tests.helpers.pictures import calm_jpeg, unsure_jpeg
from tests.helpers.services import running_cloud, running_edge


def charts(page: str) -> list[dict[str, object]]:
    return [json.loads(html.unescape(data)) for data in re.findall(r'data-chart="([^"]*)"', page)]


def test_each_cloud_of_several_has_its_last_hour(tmp_path: Path, models: Path) -> None:
    with running_cloud(tmp_path / "one", models) as one:
        endpoints = [one.url, "http://127.0.0.1:9"]
        with running_edge(
            tmp_path / "edge", models, cloud={"endpoints": endpoints}, policy={"name": "always"}
        ) as edge:
            before = edge.get("/ui/health").text
            assert before.count("has not been asked in the last hour") == 2
            for _ in range(3):
                assert edge.show("/joint_predict", unsure_jpeg()).json()["source"] == "cloud"
            page = edge.get("/ui/health").text
    (chart,) = charts(page)
    assert [line["name"] for line in chart["lines"]] == ["90th percentile", "median"]
    assert 0 < chart["lines"][1]["y"][0] < 5_000
    assert "3 calls." in page
    assert page.count("has not been asked in the last hour") == 1


def test_one_cloud_has_its_last_hour_under_its_address(tmp_path: Path, models: Path) -> None:
    with (
        running_cloud(tmp_path / "cloud", models) as cloud,
        running_edge(tmp_path / "edge", models, cloud.url, policy={"name": "always"}) as edge,
    ):
        edge.show("/joint_predict", calm_jpeg())
        page = edge.get("/ui/health").text
    assert len(charts(page)) == 1
    assert f"<code>{cloud.url}</code>" in page


def test_the_model_tells_when_it_was_tried_and_on_how_many_pictures(
    tmp_path: Path, models: Path
) -> None:
    with running_edge(tmp_path, models) as edge:
        tried = edge.service._models.tried
        page = edge.get("/ui/health").text
    assert tried.failure == ""
    assert "Self-test passed on" in page
    assert tried.at.astimezone().strftime(":%M:%S") in page

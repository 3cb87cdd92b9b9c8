"""The cloud's pages as they are sent: what they show, what they refuse, and what they change."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud.fleet.keys import add_key
from cloud.troubles import consul_away
from cloud.ui.kit import FOLDER
from cloud.ui.queue_model import Spread
from shared.access.users import add_user
from shared.roles import Role
from shared.ui.words import COMMON, Words
from tests.helpers.pictures import calm_jpeg, fire_jpeg
from tests.helpers.services import Running, running_cloud
from tests.helpers.tiny_models import write_detector
from tests.unit.test_fleet import report

_HTML = {"Accept": "text/html"}
_PASSWORD = "correct horse"
_PAGES = ["/", "/ui/fleet", "/ui/queue", "/ui/models", "/ui/jobs"]
_MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Running]:
    write_detector(tmp_path / "models")
    with running_cloud(tmp_path / "state", tmp_path / "models") as running:
        yield running


def reports(cloud: Running, name: str = "gate", **changes) -> None:
    told = report(name, **changes).model_dump(mode="json")
    assert cloud.post("/edges/heartbeat", json=told).status_code == 200


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


@pytest.mark.parametrize("path", _PAGES)
@pytest.mark.parametrize(
    ("language", "standing"), [("en", "listed fire alarms"), ("zh", "消防报警")]
)
def test_every_page_stands_in_both_languages(cloud, path, language, standing):
    page = cloud.get(path, headers={**_HTML, "Accept-Language": language})
    assert page.status_code == 200
    assert standing in page.text
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store"


def test_a_picture_is_tried_and_shown_with_its_boxes_and_times(cloud):
    files = [("images", ("a.jpg", fire_jpeg())), ("images", ("b.jpg", calm_jpeg()))]
    page = cloud.post("/ui/try", files=files).text
    words = text_of(page)
    assert "Fire" in words
    assert "Nothing seen" in words
    assert page.count("data:image/jpeg;base64,") == 2
    assert '<rect class="fire" x="0.0%"' in page
    assert all(stage in words for stage in ("Decode", "Queue", "Model", "Boxes", "waited"))


def test_a_broken_picture_shows_its_error_and_its_remedy_beside_the_good_one(cloud):
    files = [("images", ("a.jpg", b"GIF89a")), ("images", ("b.jpg", fire_jpeg()))]
    words = text_of(cloud.post("/ui/try", files=files).text)
    assert "could not be used" in words
    assert "1006" in words
    assert "Only JPEG and PNG" in words
    assert "Fire" in words


def test_a_form_without_a_picture_says_so_on_a_page(cloud):
    answer = cloud.post("/ui/try", data={"x": "1"})
    assert answer.status_code == 415
    assert "What to do:" in answer.text


def test_too_many_pictures_are_refused_before_any_is_looked_at(cloud):
    files = [("images", (f"{n}.jpg", fire_jpeg())) for n in range(17)]
    answer = cloud.post("/ui/try", files=files)
    assert answer.status_code == 413
    assert "at most 16" in answer.text


def test_the_fleet_shows_each_edge_with_its_troubles(cloud):
    trouble = {"kind": "disk", "subject": "", "code": "filling", "since": "2026-03-10T11:00:00Z"}
    reports(cloud, "gate")
    reports(cloud, "yard", troubles=[trouble], watching=1)
    words = text_of(cloud.get("/ui/fleet").text)
    assert "All 2 edges report." in words
    assert words.index("yard") < words.index("gate")
    assert "filling" in words
    assert "9.50 of 10.00" in words


def test_a_silent_edge_is_counted_in_the_navigation_of_every_page(cloud):
    reports(cloud)
    known = cloud.service._fleet._known
    known["gate"] = replace(known["gate"], at_mono_s=known["gate"].at_mono_s - 200)
    assert "1 edge is silent." in text_of(cloud.get("/ui/fleet").text)
    assert 'aria-label="1 edge is silent">1</span>' in cloud.get("/ui/queue").text


def test_markup_in_a_report_stays_text(cloud):
    reports(cloud, version=_MARKUP, model={"name": "m", "version": _MARKUP, "sha256_12": "0"})
    page = cloud.get("/ui/fleet").text
    assert _MARKUP not in page
    assert "&lt;img" in page


def test_the_queue_shows_where_the_time_went(cloud):
    assert "No picture yet." in cloud.get("/ui/queue").text
    for _ in range(3):
        cloud.show("/infer", fire_jpeg())
    words = text_of(cloud.get("/ui/queue").text)
    assert "over 3 runs" in words
    assert re.search(r"Decode 3 ", words)


def test_a_trouble_is_acknowledged_on_the_page(cloud):
    cloud.service._supervisor.raise_trouble(consul_away(datetime.now(UTC)))
    page = cloud.get("/ui/queue", headers=_HTML).text
    form = dict(re.findall(r'name="(kind|subject|code)" value="([^"]*)"', page))
    assert form == {"kind": "link", "subject": "consul", "code": "consul_away"}
    seen = cloud.post("/ui/troubles/acknowledge", data=form, headers=_HTML)
    assert (seen.status_code, seen.url) == (200, cloud.url + "/ui/queue")
    assert "console" in text_of(seen.text)
    assert "/ui/troubles/acknowledge" not in seen.text
    for wrong, status in (({**form, "code": "other"}, 404), ({**form, "kind": "other"}, 400)):
        answer = cloud.post("/ui/troubles/acknowledge", data=wrong, headers=_HTML)
        assert answer.status_code == status


def test_a_percentile_is_the_bound_below_which_the_share_lies():
    spread = Spread(count=10, total=5.0, below={0.1: 5, 0.5: 9, 1.0: 9, float("inf"): 10})
    assert (spread.mean, spread.percentile(0.5), spread.percentile(0.9)) == (0.5, 0.1, 0.5)
    assert spread.percentile(0.95) is None
    assert Spread().percentile(0.5) is None


def test_a_job_is_found_by_its_id(cloud):
    job_id = cloud.show("/infer/async", fire_jpeg()).json()["request_id"]
    for _ in range(100):
        if cloud.get(f"/infer/result/{job_id}").status_code == 200:
            break
    assert "Done." in text_of(cloud.get(f"/ui/jobs?id={job_id}").text)
    assert "No job of this id" in cloud.get("/ui/jobs?id=nothing").text
    hostile = cloud.get("/ui/jobs", params={"id": _MARKUP}).text
    assert _MARKUP not in hostile


def test_the_newest_version_is_taken_and_given_back_by_a_button(cloud, tmp_path):
    def version() -> str:
        return str(cloud.get("/models").json()["result"]["models"][0]["version"])

    write_detector(tmp_path / "models", version="0.2.0", fire_bias=-3.5)
    assert "0.2.0 runs now." in text_of(cloud.post("/ui/models/reload").text)
    assert version() == "0.2.0"
    assert "0.1.0 runs now." in text_of(cloud.post("/ui/models/rollback").text)
    assert version() == "0.1.0"
    refused = cloud.post("/ui/models/rollback")
    assert refused.status_code == 404
    assert "no version of cloud-detector before 0.1.0" in refused.text
    assert cloud.show("/infer", fire_jpeg()).status_code == 200


def test_what_was_rolled_back_is_not_taken_again_by_itself(tmp_path):
    write_detector(tmp_path / "models")
    write_detector(tmp_path / "models", version="0.2.0", fire_bias=-3.5)
    with running_cloud(tmp_path / "s", tmp_path / "models", model={"watch_s": 0.05}) as cloud:
        answer = cloud.post("/models/rollback").json()["result"]
        assert (answer["changed"], answer["model"]["version"]) == (True, "0.1.0")
        time.sleep(0.5)
        assert cloud.get("/models").json()["result"]["models"][0]["version"] == "0.1.0"
        assert cloud.post("/models/reload").json()["result"]["model"]["version"] == "0.2.0"


def test_a_viewer_looks_and_tries_and_changes_nothing(tmp_path, models):
    add_user(tmp_path / "users.json", "vera", Role.VIEWER, _PASSWORD)
    with running_cloud(tmp_path, models) as cloud:
        away = cloud.get("/", headers=_HTML, allow_redirects=False)
        assert (away.status_code, away.headers["Location"]) == (303, "/login?next=/")
        cloud.post("/login", data={"name": "vera", "password": _PASSWORD})
        page = cloud.get("/", headers=_HTML).text
        (token,) = set(re.findall(r'name="csrf_token" value="([^"]+)"', page))
        tried = cloud.post("/ui/try", data={"csrf_token": token}, files={"images": fire_jpeg()})
        assert "Fire" in tried.text
        assert cloud.post("/ui/try", files={"images": fire_jpeg()}).status_code == 403
        assert "You may look" in cloud.get("/ui/models").text
        refused = cloud.post("/ui/models/reload", data={"csrf_token": token})
        assert refused.status_code == 403


def test_where_edges_sign_and_nobody_can_sign_in_the_console_says_how(tmp_path, models):
    add_key(tmp_path / "keys.json", "gate")
    with running_cloud(tmp_path, models) as cloud:
        assert cloud.get("/", headers=_HTML).url.endswith("/login?next=/")
        assert cloud.get("/ui/fleet").status_code == 401


def test_every_text_that_a_page_names_has_both_languages():
    words = Words([COMMON, FOLDER / "words.toml"])
    for key, texts in words.texts.items():
        assert all(text.strip() for text in texts), key
    named = re.compile(r"""\bt\(\s*['"]([a-z_]+\.[A-Za-z_]+)['"]""")
    asked = {
        key
        for path in [*FOLDER.glob("templates/*.html"), *FOLDER.glob("*.py")]
        for key in named.findall(path.read_text())
    }
    assert len(asked) > 60
    assert sorted(key for key in asked if not words.has(key)) == []

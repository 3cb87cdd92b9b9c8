"""The page for when something is wrong: each row names the test that provokes it, and the ones with no other home."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.picture.imaging import encode_jpeg
from tests.helpers.clock import FakeClock
from tests.helpers.pictures import calm_jpeg, colour_bgr, unsure_jpeg
from tests.helpers.services import Running, running_edge

_ROOT = Path(__file__).parents[2]
_ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in (_ROOT / "docs" / "troubleshooting.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| what you see")
]


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Name every test of the suite."""
    found: set[str] = set()
    for path in (_ROOT / "tests").rglob("test_*.py"):
        found |= set(re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE))
    return found


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row[0][:40])
def test_every_row_says_what_to_do_and_names_the_test_that_provokes_it(row, known):
    assert len(row) == 4
    assert all(row)
    named = set(re.findall(r"`(test_\w+)`", row[3]))
    assert named
    assert named <= known


@contextlib.contextmanager
def dropped_packets() -> Iterator[str]:
    """Give the address of a port whose packets vanish, as behind a firewall: its queue of connections is full."""
    with contextlib.ExitStack() as held:
        server = held.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(8):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_firewall_that_drops_packets_is_a_cloud_that_is_away(tmp_path, models):
    cloud = {"tries": 1, "timeout_s": 0.3}
    with (
        dropped_packets() as url,
        running_edge(tmp_path, models, url, cloud={"url": url, **cloud}) as edge,
    ):
        bodies = [edge.show("/joint_predict", unsure_jpeg()).json() for _ in range(5)]
        troubles = edge.get("/troubles").json()["result"]["troubles"]
        links = [trouble["code"] for trouble in troubles if trouble["kind"] == "link"]
    assert {body["source"] for body in bodies} == {"edge_fallback"}
    assert bodies[-1]["decision"]["reason"] == "fallback_cloud_down"
    assert links == ["cloud_away"]


def view_troubles(edge: Running, clock: FakeClock, jpeg: bytes) -> list[str]:
    """Post a picture every second for a minute, and name what is said of the view then."""
    for _ in range(62):
        clock.advance(1.0)
        answer = edge.post(
            "/joint_predict",
            params={"camera": "yard"},
            data=jpeg,
            headers={"Content-Type": "image/jpeg"},
        )
        assert answer.status_code == 200
    troubles = edge.get("/troubles").json()["result"]["troubles"]
    return [t["code"] for t in troubles if (t["kind"], t["subject"]) == ("view", "yard")]


@pytest.mark.parametrize(
    ("jpeg", "code"), [(calm_jpeg(), "frozen"), (encode_jpeg(colour_bgr(red=0, blue=0)), "black")]
)
def test_a_camera_whose_picture_stands_still_or_is_black_is_a_trouble(tmp_path, models, jpeg, code):
    clock = FakeClock()
    cameras = {"yard": {"source": "push:"}}
    with running_edge(tmp_path, models, clock=clock, cameras=cameras) as edge:
        assert code in view_troubles(edge, clock, jpeg)

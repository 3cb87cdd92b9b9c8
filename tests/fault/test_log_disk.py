"""A log whose disk is full costs lines, and that is a trouble until they go out again."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from shared.logs import get_logger
from tests.helpers.disks import fill_up, small_disk
from tests.helpers.logs import logging_into
from tests.helpers.services import Running, running_cloud, running_edge
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.fault

_Runs = Callable[..., AbstractContextManager[Running]]


def _trouble(running: Running) -> dict[str, str] | None:
    found = running.get("/troubles").json()["result"]["troubles"]
    return next((t for t in found if t["code"] == "log_not_written"), None)


@pytest.mark.parametrize(("run", "page"), [(running_edge, "health"), (running_cloud, "queue")])
def test_lost_lines_are_a_trouble_until_lines_go_out_again_and_the_log_tells_of_the_gap(
    tmp_path: Path, models: Path, run: _Runs, page: str
):
    with (
        small_disk(tmp_path / "disk", "1m") as disk,
        logging_into(disk / "log"),
        run(tmp_path / "state", models) as running,
    ):
        assert _trouble(running) is None
        fill_up(disk)
        get_logger().info("nobody_reads_this", more="x" * 8192)  # than the log's last page holds
        wait_until(lambda: _trouble(running) is not None)
        trouble = _trouble(running)
        assert trouble is not None
        assert (trouble["kind"], "No space left on device" in trouble["cause"]) == ("disk", True)
        assert running.get("/readyz").json()["checks"]["disk"]["state"] == "degraded"
        assert "运行日志无法写入" in running.get(f"/ui/{page}?lang=zh").text
        (disk / "filler").unlink()
        wait_until(lambda: _trouble(running) is None)
        lines = (disk / "log").read_text().splitlines()
        gap = json.loads(next(line for line in lines if "log_lines_lost" in line))
        assert gap["count"] >= 1  # and its line is whole, although half of another went before it

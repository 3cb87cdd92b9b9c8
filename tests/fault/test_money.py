"""Money under threads and sudden death."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from edge.decide.budget import BudgetManager
from edge.decide.ledger import Ledger
from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.startup import hold_folder
from tests.helpers.clock import FakeClock
from tests.helpers.pictures import fire_jpeg
from tests.helpers.services import running_edge
from tests.helpers.tiny_models import write_classifier

pytestmark = pytest.mark.fault

_UTC = ZoneInfo("UTC")
_FRAME = {"data": fire_jpeg(), "headers": {"Content-Type": "image/jpeg"}}

# Charges as fast as it can and says each charge aloud once it holds; a refund is announced before it is made.
_SPENDER = """
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo
from edge.decide.budget import BudgetManager
from edge.decide.ledger import Ledger

path, limit, run = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
budget = BudgetManager(
    limit_micros=limit, zone=ZoneInfo("UTC"), store=Ledger(path), now_at=lambda: datetime.now(UTC)
)
print("ready", flush=True)
number = 0
while True:
    number += 1
    call = f"{run}-{number}"
    if budget.check_and_deduct(7, call_id=call):
        print(f"charged {call}", flush=True)
        if number % 3 == 0:
            print(f"refunding {call}", flush=True)
            budget.refund(call)
    else:
        print("spent", flush=True)
        signal.pause()
"""


def _budget(path: Path, limit: int) -> tuple[BudgetManager, Ledger]:
    ledger = Ledger(path)
    manager = BudgetManager(
        limit_micros=limit, zone=_UTC, store=ledger, now_at=lambda: datetime.now(UTC)
    )
    return manager, ledger


def _open_calls(path: Path) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return dict(db.execute("SELECT call_id, cost_micros FROM charge WHERE is_open=1"))


def test_thirty_two_threads_share_the_last_ten_units_exactly(tmp_path):
    budget, ledger = _budget(tmp_path / "ledger.sqlite3", 10)
    barrier, granted = threading.Barrier(32), []

    def ask(number: int) -> None:
        barrier.wait()
        calls = (f"{number}-{attempt}" for attempt in range(3))
        granted.extend(call for call in calls if budget.check_and_deduct(1, call_id=call))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    assert len(granted) == 10
    assert sum(_open_calls(tmp_path / "ledger.sqlite3").values()) == 10


def test_threads_that_pay_and_give_back_never_overdraw(tmp_path):
    budget, ledger = _budget(tmp_path / "ledger.sqlite3", 100)
    worst = []

    def trade(number: int) -> None:
        for attempt in range(25):
            call = f"{number}-{attempt}"
            if budget.check_and_deduct(9, call_id=call) and attempt % 2:
                budget.refund(call)
            worst.append(budget.remaining_micros())

    threads = [threading.Thread(target=trade, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = budget.remaining_micros()
    ledger.close()
    assert min(worst) >= 0
    assert left == 100 - sum(_open_calls(tmp_path / "ledger.sqlite3").values())


def test_one_call_that_many_threads_try_pays_once(tmp_path):
    budget, ledger = _budget(tmp_path / "ledger.sqlite3", 10)
    barrier = threading.Barrier(16)

    def ask() -> None:
        barrier.wait()
        budget.check_and_deduct(10, call_id="same")

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = budget.remaining_micros()
    ledger.close()
    assert (left, _open_calls(tmp_path / "ledger.sqlite3")) == (0, {"same": 10})


def _spend_until_killed(path: Path, limit: int, run: int) -> list[str]:
    """Start a spender, let it work a moment, kill it without warning; returns what it said."""
    command = [sys.executable, "-c", _SPENDER, str(path), str(limit), str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as spender:
        assert spender.stdout is not None
        try:
            said = [spender.stdout.readline().strip() for _ in range(2)]  # it has begun to spend
            time.sleep(0.03 + 0.02 * run)  # each run dies at another point
        finally:
            spender.kill()
        said += [line.strip() for line in spender.stdout if line.endswith("\n")]
    return said


def test_sudden_death_while_paying_loses_no_charge_and_never_overdraws(tmp_path):
    path, limit, owed = tmp_path / "ledger.sqlite3", 2_000, set()
    for run in range(6):
        said = _spend_until_killed(path, limit, run)
        assert said[0] == "ready"
        owed |= {line.split()[1] for line in said if line.startswith("charged")}
        owed -= {line.split()[1] for line in said if line.startswith("refunding")}
        kept = _open_calls(path)
        assert owed <= kept.keys()
        assert sum(kept.values()) <= limit
    assert owed


def test_a_budget_that_was_killed_goes_on_where_it_was(tmp_path):
    path, limit = tmp_path / "ledger.sqlite3", 700
    _spend_until_killed(path, limit, 10)
    spent = sum(_open_calls(path).values())
    budget, ledger = _budget(path, limit)
    left = budget.remaining_micros()
    ledger.close()
    assert (left, left >= 0) == (limit - spent, True)


_CRASHES_AFTER_PAYING = """
import os, signal, sys
from pathlib import Path
from edge.forward.cloud_client import MockCloudClient
from edge.service import EdgeService
from tests.helpers.pictures import fire_jpeg
from tests.helpers.services import edge_settings

def die(self, *args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

MockCloudClient.infer = die
settings = edge_settings(
    Path(sys.argv[1]), Path(sys.argv[2]), "mock:", policy={"name": "always", "daily_limit": 10}
)
service = EdgeService(settings)
service.app.test_client().post("/joint_predict", data=fire_jpeg(), content_type="image/jpeg")
print("survived")
"""


def test_death_between_paying_and_calling_loses_a_call_and_no_money_twice(tmp_path, models):
    command = [sys.executable, "-c", _CRASHES_AFTER_PAYING, str(tmp_path), str(models)]
    root = Path(__file__).parents[2]
    died = subprocess.run(
        command, capture_output=True, text=True, timeout=50, check=False, cwd=root
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert list(_open_calls(tmp_path / "ledger.sqlite3").values()) == [20_000]
    with running_edge(tmp_path, models, "mock:", policy={"daily_limit": 10}) as edge:
        left = edge.get("/policy").json()["result"]["left"]
    assert left == 9.98


def test_a_second_process_on_the_same_folder_is_refused(tmp_path, models):
    program = "from edge.cli import main; main()"
    arguments = ["run", "--port", "0", "--state", tmp_path, "--models", models]
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with running_edge(tmp_path, models):
        second = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert second.returncode == 2
    assert "in use by another process" in second.stderr


def test_a_folder_is_free_again_after_a_sudden_death(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from shared.startup import hold_folder; "
        "held = hold_folder(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StoreError, match="in use"):
            hold_folder(tmp_path)
        holder.kill()
    hold_folder(tmp_path).close()


@pytest.mark.parametrize(
    "content",
    [b"\0" * 8192, b"hello", b"SQLite format 3\0" + b"\xff" * 8000],
    ids=["zeros", "text", "cut"],
)
def test_a_ledger_that_is_no_database_is_a_clear_error(tmp_path, content):
    (tmp_path / "ledger.sqlite3").write_bytes(content)
    with pytest.raises(StoreError) as caught:
        Ledger(tmp_path / "ledger.sqlite3")
    assert caught.value.code is ErrorCode.STORE_UNAVAILABLE
    assert "ledger.sqlite3" in caught.value.detail


def _damage(path: Path, kind: str) -> None:
    if kind == "head":
        path.write_bytes(b"\0" * 8192)
        return
    pages = bytearray(path.read_bytes())
    pages[4096:] = b"\x55" * (len(pages) - 4096)  # the head is left, so that SQLite opens it
    path.write_bytes(pages)


@pytest.mark.parametrize("kind", ["head", "pages"])
def test_a_damaged_ledger_keeps_no_box_from_watching_and_gives_no_money_away(
    tmp_path, models, kind
):
    clock = FakeClock(datetime(2026, 3, 10, 12, tzinfo=UTC))
    policy = {"name": "always", "daily_limit": 1, "monthly_limit": 20}
    with running_edge(tmp_path, models, "mock:", clock=clock, policy=policy) as edge:
        assert edge.show("/joint_predict", fire_jpeg()).json()["source"] == "cloud"
    _damage(tmp_path / "ledger.sqlite3", kind)
    with running_edge(tmp_path, models, "mock:", clock=clock, policy=policy) as edge:
        answer = edge.show("/joint_predict", fire_jpeg()).json()
        (trouble,) = [
            t
            for t in edge.get("/troubles").json()["result"]["troubles"]
            if t["code"] == "set_aside"
        ]
        assert edge.get("/policy").json()["result"]["left"] == 0
        clock.advance(12 * 3600)
        assert edge.show("/joint_predict", fire_jpeg()).json()["source"] == "cloud"
        (month,) = edge.service._kept.ledger._store._connection.execute(
            "SELECT sum(cost_micros) FROM charge WHERE is_open"
        ).fetchone()
    assert (answer["source"], answer["decision"]["reason"]) == (
        "edge_fallback",
        "fallback_budget_empty",
    )
    assert trouble["kind"] == "budget"
    assert month == 10_000_000 + 20_000  # ten days at their limit, and the first call of the next
    assert len(list(tmp_path.glob("ledger.sqlite3.damaged-*"))) >= 1


@pytest.mark.parametrize("kind", ["head", "pages"])
@pytest.mark.parametrize("name", ["tally.sqlite3", "selftest.sqlite3"])
def test_damaged_side_books_keep_no_box_from_watching(tmp_path, models, name, kind):
    with running_edge(tmp_path, models):
        pass
    _damage(tmp_path / name, kind)
    with running_edge(tmp_path, models) as edge:
        assert edge.show("/predict", fire_jpeg()).status_code == 200
        codes = {t["code"] for t in edge.get("/troubles").json()["result"]["troubles"]}
    assert {code for code in codes if code.endswith("set_aside")}


def test_a_box_whose_ledger_cannot_be_opened_watches_on_and_leaves_its_folder_free(
    tmp_path, models
):
    (tmp_path / "ledger.sqlite3").mkdir()
    with running_edge(tmp_path, models) as edge:
        assert edge.get("/readyz").json()["checks"]["disk"]["state"] == "degraded"
        assert edge.post("/joint_predict", **_FRAME).json()["source"] in ("edge", "edge_fallback")
    (tmp_path / "ledger.sqlite3").rmdir()
    with running_edge(tmp_path, models) as edge:
        assert edge.get("/readyz").json()["checks"]["disk"]["state"] == "ok"


def test_a_service_without_a_model_leaves_its_folder_free(tmp_path):
    with (
        pytest.raises(Exception, match="no artifact"),
        running_edge(tmp_path / "e", tmp_path / "m"),
    ):
        pass
    write_classifier(tmp_path / "m")
    with running_edge(tmp_path / "e", tmp_path / "m") as edge:
        assert edge.get("/healthz").status_code == 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_a_clear_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="denied"):
        hold_folder(tmp_path)


def test_a_state_that_is_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StoreError) as caught:
        hold_folder(tmp_path / "state")
    assert caught.value.code is ErrorCode.STORE_UNAVAILABLE

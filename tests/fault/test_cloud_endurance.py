"""Ten thousand jobs and ten thousand calls of every kind leave a cloud as it was."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.helpers.pictures import fire_jpeg
from tests.helpers.processes import free_port, is_ready
from tests.helpers.waiting import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
_CALLS = 10_000
_CALLERS = 4
_MOST_GROWN_BYTES = 30_000_000


class _Cloud:
    def __init__(self, port: int, process: psutil.Process) -> None:
        self.port = port
        self._process = process

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)

    def rss(self) -> int:
        return self._process.memory_info().rss

    def threads(self) -> int:
        return self._process.num_threads()

    def descriptors(self) -> int:
        return self._process.num_fds()


@contextmanager
def _cloud(tmp_path: Path, models: Path, **settings: str) -> Iterator[_Cloud]:
    port = free_port()
    named = {f"EMBERLINK_CLOUD__{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "cloud", "run", "--port", str(port)]
    command += ["--models", str(models), "--state", str(tmp_path)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **named}, stderr=log)
        try:
            cloud = _Cloud(port, psutil.Process(process.pid))
            wait_until(lambda: is_ready(port))
            yield cloud
            process.terminate()
            assert process.wait(40) == 0
        finally:
            process.kill()
            process.wait()


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes = b"",
    **headers: str,
) -> tuple[int, dict]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"Content-Type": "image/jpeg", **named})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def _together(work: Callable[[int, int], None]) -> None:
    """Let a few threads share the calls; a failure in one fails the test."""
    failures: list[BaseException] = []

    def share(number: int) -> None:
        try:
            work(number, _CALLS // _CALLERS)
        except BaseException as err:
            failures.append(err)

    threads = [threading.Thread(target=share, args=(n,)) for n in range(_CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_ten_thousand_jobs_leave_memory_as_it_was_and_old_results_are_gone(tmp_path, models):
    settings = {"jobs__ttl_s": "2", "jobs__max_kept": "500"}
    with _cloud(tmp_path, models, **settings) as cloud:
        jpeg = fire_jpeg()
        first: list[str] = []

        def submit(connection: http.client.HTTPConnection) -> str:
            while True:
                status, body = _ask(connection, "POST", "/infer/async", jpeg)
                if status == 202:
                    return body["request_id"]
                assert status == 503
                time.sleep(0.05)

        def work(number: int, count: int) -> None:
            connection = cloud.connection()
            for n in range(count):
                job_id = submit(connection)
                if n == 0 and number == 0:
                    first.append(job_id)
            connection.close()

        warm = cloud.connection()
        for _ in range(200):
            submit(warm)
        before = cloud.rss()
        warm.close()  # before the server lets go of what was idle for long; it is opened again
        _together(work)
        last = submit(warm)
        wait_until(lambda: _ask(warm, "GET", f"/infer/result/{last}")[0] == 200)
        assert abs(cloud.rss() - before) < _MOST_GROWN_BYTES
        assert _ask(warm, "GET", f"/infer/result/{first[0]}")[0] in (404, 410)
        wait_until(lambda: _ask(warm, "GET", f"/infer/result/{last}")[0] == 410)
        warm.close()


def test_after_ten_thousand_calls_of_every_kind_a_good_one_is_fast_and_nothing_is_left(
    tmp_path, models
):
    with _cloud(tmp_path, models) as cloud:
        jpeg = fire_jpeg()
        statuses: Counter[int] = Counter()

        def good(connection: http.client.HTTPConnection) -> int:
            return _ask(connection, "POST", "/infer", jpeg)[0]

        def keyed(connection: http.client.HTTPConnection) -> int:
            key = str(random.randrange(50))
            return _ask(connection, "POST", "/infer", jpeg, Idempotency_Key=key)[0]

        def damaged(connection: http.client.HTTPConnection) -> int:
            return _ask(connection, "POST", "/infer", jpeg[:-200])[0]

        def garbage(connection: http.client.HTTPConnection) -> int:
            return _ask(connection, "POST", "/infer", os.urandom(200))[0]

        def too_late(connection: http.client.HTTPConnection) -> int:
            return _ask(connection, "POST", "/infer", jpeg, X_Request_Deadline_Ms="1")[0]

        def unknown(connection: http.client.HTTPConnection) -> int:
            return _ask(connection, "GET", "/infer/result/nobody")[0]

        def abandoned(_: http.client.HTTPConnection) -> int:
            with socket.create_connection(("127.0.0.1", cloud.port), timeout=40) as sock:
                head = f"POST /infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                sock.sendall(head.encode() + jpeg)
            return 0

        def half_sent(_: http.client.HTTPConnection) -> int:
            with socket.create_connection(("127.0.0.1", cloud.port), timeout=40) as sock:
                sock.sendall(b"POST /infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
                time.sleep(0.01)
            return 0

        kinds = (good, good, keyed, damaged, garbage, too_late, unknown, abandoned, half_sent)

        def work(number: int, count: int) -> None:
            choose = random.Random(number)
            connection = cloud.connection()
            for _ in range(count):
                statuses[choose.choice(kinds)(connection)] += 1
            connection.close()

        connection = cloud.connection()
        for kind in kinds * 20:
            kind(connection)
        time.sleep(0.5)
        before = (cloud.rss(), cloud.threads(), cloud.descriptors())
        connection.close()
        _together(work)
        assert good(connection) == 200
        wait_until(lambda: cloud.threads() <= before[1])
        wait_until(lambda: cloud.descriptors() <= before[2] + 2)
        assert abs(cloud.rss() - before[0]) < _MOST_GROWN_BYTES
        assert set(statuses) <= {0, 200, 400, 404, 409, 503, 504}
        connection.close()

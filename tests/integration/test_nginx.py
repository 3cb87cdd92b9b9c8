"""A real nginx with the shipped configuration in front of a running cloud."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from cloud.fleet.keys import add_key
from tests.helpers.pictures import fire_jpeg
from tests.helpers.processes import free_port, wait_until_listening
from tests.helpers.services import Running, running_cloud, running_edge
from tests.helpers.signing import SignedBy
from tests.helpers.waiting import wait_until

_NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx" / "emberlink.conf"
_MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log info;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/emberlink.conf;
}}
"""

pytestmark = pytest.mark.skipif(
    _NGINX is None, reason="nginx is not installed (apt-get install nginx)"
)


@contextmanager
def _nginx(folder: Path, cloud_port: int, **changes: str) -> Iterator[Running]:
    """Run nginx with the shipped file; only its two addresses and `changes` differ."""
    folder.mkdir()
    port = free_port()
    text = _SHIPPED.read_text(encoding="utf-8")
    replaced = {
        "listen 80;": f"listen 127.0.0.1:{port};",
        "server 127.0.0.1:5001;": f"server 127.0.0.1:{cloud_port};",
        **changes,
    }
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "emberlink.conf").write_text(text, encoding="utf-8")
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user), encoding="utf-8")
    command = [str(_NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen([*command, "-e", str(folder / "error.log")])
    with requests.Session() as session:
        session.trust_env = False
        try:
            wait_until_listening(process, port, folder / "error.log")
            yield Running(service=None, port=port, session=session)
        finally:
            process.terminate()
            process.wait(40)


class World:
    """A cloud that wants signatures, nginx in front of it, and the key of `gate`."""

    def __init__(self, cloud: Running, proxy: Running, key: str) -> None:
        self.cloud = cloud
        self.proxy = proxy
        self.key = key

    @property
    def signed(self) -> SignedBy:
        return SignedBy("gate", self.key)

    def show(self, path: str, **more: Any) -> requests.Response:
        headers = {"Content-Type": "image/jpeg"}
        return self.proxy.post(path, data=fire_jpeg(), headers=headers, auth=self.signed, **more)


@pytest.fixture
def world(tmp_path: Path, models: Path) -> Iterator[World]:
    key = add_key(tmp_path / "state" / "keys.json", "gate")
    with (
        running_cloud(tmp_path / "state", models) as cloud,
        _nginx(tmp_path / "nginx", cloud.port) as proxy,
    ):
        yield World(cloud, proxy, key)


def test_a_signed_picture_is_answered_through_the_proxy(world):
    assert world.show("/infer?camera=gate").json()["result"]["label"] == "fire"


def test_a_signature_is_still_needed_behind_the_proxy(world):
    answer = world.proxy.show("/infer", fire_jpeg())
    assert (answer.status_code, answer.json()["err_no"]) == (401, 1020)


def test_a_job_is_accepted_and_found_where_its_location_says(world):
    accepted = world.show("/infer/async")
    assert accepted.status_code == 202
    location = accepted.headers["Location"]
    wait_until(lambda: world.proxy.get(location, auth=world.signed).status_code != 202)
    result = world.proxy.get(location, auth=world.signed)
    assert result.json()["result"]["label"] == "fire"
    assert location.startswith("/infer/result/")


def test_the_services_own_errors_pass_as_they_are(world):
    answer = world.proxy.get("/nowhere", auth=world.signed)
    assert (answer.status_code, answer.json()["err_no"]) == (404, 404)
    assert world.proxy.get("/readyz").json()["status"] == "ready"
    assert world.proxy.get("/models/edge/latest", auth=world.signed).headers["ETag"]


def test_a_body_beyond_the_limit_is_refused_by_its_head_as_a_problem(world):
    with socket.create_connection(("127.0.0.1", world.proxy.port), 40) as sock:
        sock.sendall(
            b"POST /infer HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
            b"Content-Length: 32000001\r\n\r\n"
        )
        answer = sock.recv(65_536).decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 413")
    assert "application/problem+json" in head
    assert '"err_no": 413' in body


def test_slow_clients_do_not_reach_the_service(world):
    with contextlib.ExitStack() as held:
        for number in range(90):
            sock = held.enter_context(socket.create_connection(("127.0.0.1", world.proxy.port), 40))
            sock.sendall(b"POST /infer HTTP/1.1\r\nHost: x\r\n")
            if number % 2:
                sock.sendall(b"Content-Length: 150000\r\n\r\nhalf")
        assert world.show("/infer").status_code == 200
        connections = world.cloud.service._servers[0]._server.active_channels
        assert len(connections) < 10


def test_a_slow_client_is_dropped(tmp_path, models):
    with (
        running_cloud(tmp_path / "state", models) as cloud,
        _nginx(
            tmp_path / "nginx",
            cloud.port,
            **{"client_header_timeout 15s": "client_header_timeout 1s"},
        ) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 40) as sock,
    ):
        sock.sendall(b"POST /infer HTTP/1.1\r\n")
        assert b"200" not in sock.recv(1024)


def test_a_cloud_that_is_down_is_a_clean_problem_with_a_time_to_come_back(tmp_path):
    with _nginx(tmp_path / "nginx", free_port()) as proxy:
        answer = proxy.show("/infer", fire_jpeg())
    body = answer.json()
    assert answer.status_code == body["status"] == 502
    assert (body["err_no"], body["result"], body["retryable"]) == (503, None, True)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "2"
    assert answer.headers["X-Request-ID"] == body["req_id"]


def test_a_cloud_that_does_not_answer_is_a_clean_problem(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        changes = {"proxy_read_timeout 620s": "proxy_read_timeout 1s"}
        with _nginx(tmp_path / "nginx", silent.getsockname()[1], **changes) as proxy:
            answer = proxy.show("/infer", fire_jpeg())
    assert (answer.status_code, answer.json()["status"]) == (504, 504)


def test_the_cloud_comes_back_and_nobody_restarts_the_proxy(tmp_path, models):
    port = free_port()
    with _nginx(tmp_path / "nginx", port) as proxy:
        assert proxy.get("/readyz").status_code == 502
        with running_cloud(tmp_path / "state", models, server={"port": port}):
            assert proxy.show("/infer", fire_jpeg()).status_code == 200


def test_a_call_is_not_sent_twice_when_the_service_dies_over_it(tmp_path):
    with socket.socket() as dying:
        dying.bind(("127.0.0.1", 0))
        dying.listen()
        dying.settimeout(40)
        with (
            _nginx(tmp_path / "nginx", dying.getsockname()[1]) as proxy,
            socket.create_connection(("127.0.0.1", proxy.port), 40) as caller,
        ):
            caller.sendall(b"POST /infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
            first, _ = dying.accept()
            first.recv(65_536)
            first.close()
            assert caller.recv(65_536).startswith(b"HTTP/1.1 502")
            dying.setblocking(False)
            with pytest.raises(BlockingIOError):  # no second connection came
                dying.accept()


def test_an_edge_asks_its_cloud_through_the_proxy(world, tmp_path, models):
    with running_edge(
        tmp_path / "edge",
        models,
        world.proxy.url,
        cloud={"edge_id": "gate", "key": world.key},
        policy={"name": "always"},
    ) as edge:
        assert edge.show("/joint_predict", fire_jpeg()).json()["source"] == "cloud"


@pytest.mark.parametrize(("trusted", "statuses"), [(None, {429}), ("127.0.0.1", {200})])
def test_callers_behind_the_proxy_are_told_apart_only_where_it_is_trusted(
    tmp_path, models, trusted, statuses
):
    with (
        running_cloud(
            tmp_path / "state",
            models,
            server={"trusted_proxy": trusted},
            auth={"mode": "open"},
            rate={"per_s": 0.01, "burst": 1},
        ) as cloud,
        _nginx(tmp_path / "nginx", cloud.port) as proxy,
    ):
        # The first caller comes over loopback; the second is another address of this machine.
        assert proxy.show("/infer", fire_jpeg()).status_code == 200
        second = _post_from("127.0.0.9", proxy.port)
    assert {second} == statuses


def _post_from(address: str, port: int) -> int:
    jpeg = fire_jpeg()
    head = f"POST /infer HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), 5, source_address=(address, 0)) as sock:
        sock.sendall(head.encode() + jpeg)
        return int(sock.recv(1024).split(b" ")[1])


def test_a_forwarded_address_is_not_believed_from_anybody_else(tmp_path, models):
    with running_cloud(tmp_path / "state", models, rate={"per_s": 0.01, "burst": 1}) as cloud:
        first = cloud.show("/infer", fire_jpeg(), X_Forwarded_For="192.0.2.1")
        second = cloud.show("/infer", fire_jpeg(), X_Forwarded_For="192.0.2.2")
    assert (first.status_code, second.status_code) == (200, 429)

from __future__ import annotations

import json
import time
from contextlib import ExitStack

import pytest

from edge.forward.discover import resolve
from shared.errors import ConfigError, LinkError
from tests.helpers.directories import consul_agent, dns_server
from tests.helpers.pictures import unsure_jpeg
from tests.helpers.services import running_cloud, running_edge
from tests.helpers.stand_in_clouds import (
    closes_mid_body,
    drips,
    drips_headers,
    stand_in_cloud,
)
from tests.helpers.waiting import wait_until

_ALWAYS = {"name": "always", "daily_limit": 100}


def ask(edge) -> dict[str, object]:
    return edge.show("/joint_predict", unsure_jpeg()).json()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


@pytest.mark.parametrize("stopped", [0, 1])
def test_a_cloud_that_stops_is_replaced_within_the_same_answer(tmp_path, models, stopped):
    with ExitStack() as stack:
        clouds = [stack.enter_context(running_cloud(tmp_path / f"c{n}", models)) for n in (0, 1)]
        addresses = {"endpoints": [cloud.url for cloud in clouds]}
        edge = stack.enter_context(
            running_edge(tmp_path / "e", models, cloud=addresses, policy=_ALWAYS)
        )
        assert [ask(edge)["source"] for _ in range(4)] == ["cloud"] * 4
        clouds[stopped].service.stop()
        assert [ask(edge)["source"] for _ in range(6)] == ["cloud"] * 6


def test_clouds_are_found_through_dns_with_priority_as_rank(tmp_path, models):
    with (
        running_cloud(tmp_path / "c", models) as cloud,
        dns_server({"_emberlink._tcp.site.test": [f"0 1 {port_of(cloud.url)} 127.0.0.1."]}) as dns,
    ):
        address = f"dns+srv://_emberlink._tcp.site.test?scheme=http&server={dns}"
        clouds = {"endpoints": [address], "look_up_every_s": 0.2}
        with running_edge(tmp_path / "e", models, cloud=clouds, policy=_ALWAYS) as edge:
            wait_until(lambda: ask(edge)["source"] == "cloud")


def test_srv_records_keep_their_priority():
    rows = ["10 1 5001 spare.test.", "0 5 5002 main.test."]
    with dns_server({"_emberlink._tcp.site.test": rows}) as dns:
        found = resolve(f"dns+srv://_emberlink._tcp.site.test?server={dns}")
    assert [(e.url, e.rank) for e in found] == [
        ("https://main.test:5002", 0),
        ("https://spare.test:5001", 10),
    ]


def test_a_cloud_registers_itself_and_is_found_and_is_gone_after_its_end(tmp_path, models):
    with consul_agent(token="let-me-in-please") as (agent, host):
        secret = tmp_path / "token"
        secret.write_text("let-me-in-please")
        secret.chmod(0o600)
        consul = {"url": f"http://{host}", "token_file": secret, "address": "127.0.0.1"}
        with running_cloud(tmp_path / "c", models, consul=consul) as cloud:
            clouds = {
                "endpoints": [f"consul://{host}/emberlink-cloud?scheme=http"],
                "look_up_every_s": 0.2,
                "consul_token_file": secret,
            }
            with running_edge(tmp_path / "e", models, cloud=clouds, policy=_ALWAYS) as edge:
                wait_until(lambda: ask(edge)["source"] == "cloud")
            (service,) = agent.services.values()
            assert (service["Port"], service["Name"]) == (port_of(cloud.url), "emberlink-cloud")
            assert service["Check"]["HTTP"].endswith("/readyz")
        assert not agent.services


def test_a_directory_that_is_away_is_a_trouble_and_the_clouds_found_last_stay(tmp_path, models):
    with ExitStack() as stack:
        cloud = stack.enter_context(running_cloud(tmp_path / "c", models))
        with consul_agent() as (agent, host):
            port = port_of(cloud.url)
            agent.services["a"] = {"ID": "a", "Name": "fire", "Address": "127.0.0.1", "Port": port}
            clouds = {"endpoints": [f"consul://{host}/fire?scheme=http"], "look_up_every_s": 0.2}
            edge = stack.enter_context(
                running_edge(tmp_path / "e", models, cloud=clouds, policy=_ALWAYS)
            )
            wait_until(lambda: ask(edge)["source"] == "cloud")
        wait_until(lambda: "directory" in edge.session.get(edge.url + "/troubles").text)
        assert ask(edge)["source"] == "cloud"


@pytest.mark.parametrize(
    "answer",
    [
        b"{}",
        b"not json",
        b"[" + b"9," * 200_000 + b"9]",
        b"[[[[",
        json.dumps([{"Service": {"Address": "evil host/..", "Port": 1}}]).encode(),
        json.dumps([{"Service": {"Address": "a", "Port": 99_999_999}}]).encode(),
        b'[{"Service": {"Address": "a", "Port": 1e999}}]',
        b'[{"Service": {"Address": "a\\n", "Port": 1}}]',
        b"[]",
    ],
)
def test_a_directory_that_answers_garbage_names_no_cloud(answer):
    with consul_agent() as (agent, host):
        agent.answer = answer
        with pytest.raises(LinkError):
            resolve(f"consul://{host}/fire")


@pytest.mark.parametrize("answer", [drips, drips_headers, closes_mid_body])
def test_a_directory_that_never_ends_its_answer_is_given_up_in_time(monkeypatch, answer):
    monkeypatch.setattr("edge.forward.discover._TIMEOUT_S", 0.5)
    with stand_in_cloud(answer) as directory:
        begun_s = time.monotonic()
        with pytest.raises(LinkError):
            resolve(f"consul://127.0.0.1:{directory.port}/fire")
        assert time.monotonic() - begun_s < 10


@pytest.mark.parametrize(
    "cloud",
    [
        {"endpoints": ["ftp://a"]},
        {"endpoints": ["consul://host"]},
        {"endpoints": ["https://user:secret@host"]},
        {"url": "http://a", "endpoints": ["http://b"]},
        {"endpoints": [f"http://h{n}" for n in range(17)]},
    ],
)
def test_an_address_that_makes_no_sense_is_refused_at_start(tmp_path, models, cloud):
    with pytest.raises((ConfigError, ValueError)), running_edge(tmp_path, models, cloud=cloud):
        pass

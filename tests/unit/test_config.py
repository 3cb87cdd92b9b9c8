from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cloud.config import CloudSettings
from cloud.config_doubts import doubts as cloud_doubts
from edge.config.doubts import doubts as edge_doubts
from edge.config.settings import EdgeSettings
from shared.config import describe_settings, load_settings
from shared.errors import ConfigError

_PREFIX = "EMBERLINK_EDGE"
_SECRET = "hunter2-is-not-shown"


def _load(
    toml: str = "", tmp_path: Path | None = None, flags: Any = None, **environ: str
) -> EdgeSettings:
    path = None
    if toml:
        assert tmp_path is not None
        path = tmp_path / "edge.toml"
        path.write_text(toml, encoding="utf-8")
    variables = {f"{_PREFIX}__{name}": value for name, value in environ.items()}
    variables.setdefault("CREDENTIALS_DIRECTORY", "/nonexistent")
    return load_settings(
        EdgeSettings, prefix=_PREFIX, toml_path=path, environ=variables, flags=flags
    )


def _problems(toml: str = "", tmp_path: Path | None = None, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _load(toml, tmp_path, **environ)
    return caught.value.detail.splitlines()


def _endpoints(*addresses: str) -> dict[str, str]:
    return {"CLOUD__ENDPOINTS": json.dumps(addresses)}


def _sinks(**sinks: dict[str, Any]) -> dict[str, str]:
    """Set receivers that are programs, and the address that their links need."""
    programs = {name: {"kind": "command", "argv": ["true"], **sink} for name, sink in sinks.items()}
    return {"ALERTS__SINKS": json.dumps(programs), "ALERTS__BASE_URL": "http://box.example"}


def test_everything_has_a_default():
    assert _load().policy.threshold == 0.7


def test_an_unknown_setting_is_an_error(tmp_path):
    assert _problems("[policy]\ntreshold = 0.8", tmp_path) == [
        f"policy.treshold: is not a known setting (from {tmp_path}/edge.toml)"
    ]


def test_a_value_out_of_range_is_named_with_its_origin():
    (problem,) = _problems(POLICY__THRESHOLD="0.4")
    assert problem.startswith("policy.threshold: ")
    assert problem.endswith("got '0.4' (from environment)")


def test_all_problems_are_told_at_once(tmp_path):
    toml = "[server]\nport = 70000\n[policy]\nname = 'guess'\n[cloud]\nurl = 'ftp://x'"
    problems = _problems(toml, tmp_path, LIMITS__MAX_BATCH="0")
    assert [p.split(":")[0] for p in sorted(problems)] == [
        "cloud.url",
        "limits.max_batch",
        "policy.name",
        "server.port",
    ]


@pytest.mark.parametrize("text", ["nan", "inf", "-1"])
def test_a_number_that_is_none_is_refused(text):
    assert len(_problems(CLOUD__TIMEOUT_S=text)) == 1


def test_the_file_is_above_the_default(tmp_path):
    assert _load("[policy]\nthreshold = 0.8", tmp_path).policy.threshold == 0.8


def test_the_environment_is_above_the_file(tmp_path):
    settings = _load("[policy]\nthreshold = 0.8", tmp_path, POLICY__THRESHOLD="0.9")
    assert settings.policy.threshold == 0.9


def test_a_flag_is_above_the_environment():
    settings = _load(flags={"policy": {"name": "always"}}, POLICY__NAME="edge_only")
    assert settings.policy.name.value == "always"


def test_a_flag_that_was_not_given_changes_nothing():
    settings = _load(flags={"policy": {"name": None}}, POLICY__NAME="edge_only")
    assert settings.policy.name.value == "edge_only"


def test_the_environment_is_above_a_secret_file(tmp_path):
    (tmp_path / "EMBERLINK_EDGE__CAMERAS__YARD__PASSWORD").write_text("from-file\n")
    settings = _load(
        flags={"cameras": {"yard": {"source": "sim:"}}},
        CAMERAS__YARD__PASSWORD="from-environment",
    )
    password = settings.cameras["yard"].password
    assert password is not None
    assert password.get_secret_value() == "from-environment"


def test_a_secret_file_gives_a_password_without_its_line_end(tmp_path):
    (tmp_path / "emberlink_edge__cameras__yard__password").write_text("from-file\n")
    settings = load_settings(
        EdgeSettings,
        prefix=_PREFIX,
        environ={"CREDENTIALS_DIRECTORY": str(tmp_path)},
        flags={"cameras": {"yard": {"source": "sim:"}}},
    )
    password = settings.cameras["yard"].password
    assert password is not None
    assert password.get_secret_value() == "from-file"


def test_a_secret_file_that_is_not_text_is_a_problem_and_no_stack_trace(tmp_path):
    (tmp_path / "emberlink_edge__cameras__yard__password").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_settings(
            EdgeSettings, prefix=_PREFIX, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}
        )


def test_a_list_in_the_environment_is_json():
    settings = _load(SERVER__CORS_ORIGINS='["https://a.example", "https://b.example"]')
    assert settings.server.cors_origins == ("https://a.example", "https://b.example")


def test_a_list_that_is_not_json_is_a_problem():
    assert _problems(SERVER__CORS_ORIGINS="[https://a.example")[0].startswith("server.cors_origins")


def test_a_table_in_the_environment_is_json():
    settings = _load(CAMERAS='{"yard": {"source": "sim:", "fps": 1}}')
    assert settings.cameras["yard"].fps == 1.0


def test_variables_of_others_are_left_alone():
    environ = {"EMBERLINK_CLOUD__X": "1", "EMBERLINK_EDGES": "2", "PATH": "/bin"}
    assert load_settings(EdgeSettings, prefix=_PREFIX, environ=environ) == _load()


@pytest.mark.parametrize("toml", ["[policy\n", "policy = 1 = 2", "\x00"])
def test_a_file_that_is_not_toml_is_named(tmp_path, toml):
    assert _problems(toml, tmp_path)[0].startswith(f"{tmp_path}/edge.toml: ")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        load_settings(EdgeSettings, prefix=_PREFIX, toml_path=tmp_path / "nowhere", environ={})


@pytest.mark.parametrize(
    "toml",
    [
        f"[cameras.yard]\nsource = 'sim:'\npassword = '{_SECRET}'\npassword_file = '/x'",
        f"[cameras.yard]\nsource = 'sim:'\npassword = ['{_SECRET}']",
        f"[cameras.yard]\nsource = 'sim:'\npasswort = '{_SECRET}'",
        f"[cameras.yard]\npassword = '{_SECRET}'",
        f"[cameras.yard]\nsource = ['rtsp://admin:{_SECRET}@10.0.0.7/live']",
        f"[cameras.yard]\nurl = 'rtsp://admin:{_SECRET}@10.0.0.7/live'",
        f"[cameras]\nyard = 'rtsp://admin:{_SECRET}@10.0.0.7/live'",
        f"[cloud]\nurl = 'https://user:{_SECRET}@cloud.example'",
        f"[cloud]\nurl = 'https://user:{_SECRET}@x@cloud.example'",
        f"[cloud]\nurl = 'ftp://cloud.example/?token={_SECRET}'",
    ],
)
def test_no_problem_shows_a_secret(tmp_path, toml):
    assert _SECRET not in "\n".join(_problems(toml, tmp_path))


def test_settings_do_not_show_a_password_when_printed():
    settings = _load(CAMERAS__YARD__SOURCE="sim:", CAMERAS__YARD__PASSWORD=_SECRET)
    assert _SECRET not in f"{settings!r} {settings} {settings.model_dump()}"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "http://",
        "cloud.example:5001",
        "https://u:p@cloud.example",
        "http://cloud.example:port",
        "http://cloud.example:99999",
        "mock:?latency_s=soon",
        "mock:?latency_s=nan",
        "mock:?latency_s=-1",
        "mock:?label=dragon",
    ],
)
def test_an_address_that_is_no_cloud_is_refused(url):
    assert _problems(CLOUD__URL=url)[0].startswith("cloud.url")


@pytest.mark.parametrize("url", ["", "http://cloud:5001/", "https://c.example", "mock:?label=none"])
def test_an_address_of_a_cloud_is_taken(url):
    assert _load(CLOUD__URL=url).cloud.url == url.rstrip("/")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "", "Europe", "\x00"])
def test_a_zone_that_does_not_exist_is_refused(zone):
    assert _problems(POLICY__TIMEZONE=zone)[0].startswith("policy.timezone")


@pytest.mark.parametrize("name", ["Yard", "a b", "-a", "a/b", "", "x" * 65, "é", "a\n"])
def test_a_camera_has_a_plain_name(name):
    with pytest.raises(ConfigError):
        load_settings(
            EdgeSettings,
            prefix=_PREFIX,
            environ={},
            flags={"cameras": {name: {"source": "sim:"}}},
        )


def test_money_is_exact():
    policy = _load(POLICY__DAILY_LIMIT="0.3", POLICY__COST_PER_CALL="0.1").policy
    assert (policy.daily_limit_micros, policy.cost_micros) == (300_000, 100_000)


def test_money_finer_than_a_millionth_is_refused():
    assert _problems(POLICY__COST_PER_CALL="0.0000001")[0].startswith("policy.cost_per_call")


def test_settings_cannot_be_changed_after_start():
    with pytest.raises(ValueError, match="frozen"):
        _load().policy.threshold = 0.9  # type: ignore[misc]


@pytest.mark.parametrize("settings_class", [EdgeSettings, CloudSettings])
def test_every_setting_is_described(settings_class):
    for name, _, description in describe_settings(settings_class):
        assert description.endswith("."), name


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({"SERVER__HOST": "0.0.0.0", "ACCESS__MODE": "open"}, "beyond this machine"),
        ({"CLOUD__URL": "http://cloud.example"}, "cloud.url is not https"),
        (_endpoints("https://a.example", "http://b.example"), "cloud.endpoints is not https"),
        (_endpoints("dns+srv://_ember._tcp.example.com?scheme=http"), "in the clear"),
        (_endpoints("consul://127.0.0.1:8500/ember?scheme=http"), "in the clear"),
        ({"SERVER__THREADS": "8"}, "max_in_flight"),
        ({"POLICY__COST_PER_CALL": "20"}, "daily_limit"),
        ({"POLICY__MONTHLY_LIMIT": "0.01"}, "cost_per_call is above monthly_limit"),
        ({"POLICY__MONTHLY_LIMIT": "9"}, "the month's money"),
        ({"CLOUD__TIMEOUT_S": "3"}, "a second time"),
        ({"ACCESS__SESSION_IDLE_S": "90000"}, "session_idle_s does nothing"),
        ({"LIMITS__MAX_BYTES": "40000000"}, "max_body_bytes"),
        ({"EVIDENCE__MIN_FREE_BYTES": "0"}, "fill its disk"),
        ({"EVIDENCE__KEEP_DAYS": "3"}, "keep_alarms_days"),
        ({"EVENTS__PREROLL_S": "0"}, "trace_origin"),
        (_sinks(a={"escalate_after_s": 90}), "nobody is called at once"),
        (_sinks(a={}, b={"escalate_after_s": 30}), "sinks.b is below"),
        (_sinks(a={"least": "fire"}), "smoke calls nobody"),
        ({"ALERTS__SINKS": '{"a": {"kind": "command", "argv": ["true"]}}'}, "base_url"),
        ({"CAMERAS": '{"a": {"source": "/dev/video0"}, "b": {"source": "/dev/video0"}}'}, "a, b"),
    ],
)
def test_a_setting_that_is_probably_not_meant_is_warned_of_alone(environ, word):
    (warning,) = edge_doubts(_load(**environ))
    assert word in warning


@pytest.mark.parametrize(
    ("sections", "word"),
    [
        ({"server": {"threads": 8}}, "engine.places"),
        ({"server": {"host": "0.0.0.0"}, "auth": {"mode": "open"}}, "without authentication"),
        ({"jobs": {"max_waiting_bytes": 2_000_000}}, "max_waiting_bytes"),
        ({"engine": {"kind": "redis"}, "redis": {"claim_s": 2.0}}, "claim_s"),
        ({"redis": {"fallback": True}}, "do nothing"),
        ({"consul": {"url": "http://127.0.0.1:8500", "address": "cloud.example"}}, "server.host"),
    ],
)
def test_a_setting_of_the_cloud_that_is_probably_not_meant_is_warned_of_alone(sections, word):
    (warning,) = cloud_doubts(CloudSettings.model_validate(sections))
    assert word in warning


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"POLICY__MONTHLY_LIMIT": "300"},
        {"CLOUD__URL": "http://127.0.0.1:5001"},
        _endpoints("https://a.example", "http://[::1]:5001", "consul://127.0.0.1:8500/ember"),
        {"CAMERAS": '{"a": {"source": "sim:"}, "b": {"source": "sim:"}}'},
        _sinks(a={}, b={"escalate_after_s": 90, "least": "fire"}),
    ],
)
def test_settings_that_fit_together_are_warned_of_nothing(environ):
    assert edge_doubts(_load(**environ)) == cloud_doubts(CloudSettings()) == []


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"BREAKER__PROBE_AFTER_S": "20"}, "probe_after_s is above probe_after_max_s"),
        ({"POLICY__BATTERY_HARD": "0.5"}, "battery_hard is above battery_soft"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(environ, problem):
    (told,) = _problems(**environ)
    assert problem in told

"""Who gets in, who stays out, and what is written about it: real services on real sockets."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

import cloud.cli
import edge.cli
from cloud.fleet.keys import add_key
from cloud.service import CloudService
from edge.config.doubts import doubts
from edge.service import EdgeService
from shared.access.users import add_token, add_user, read_users, remove_user
from shared.errors import ConfigError
from shared.roles import Role
from tests.helpers.clock import FakeClock
from tests.helpers.evidence import fill
from tests.helpers.pictures import calm_jpeg, fire_jpeg
from tests.helpers.services import (
    Running,
    cloud_settings,
    edge_settings,
    running_cloud,
    running_edge,
)
from tests.helpers.signing import SignedBy
from tests.helpers.tiny_models import write_detector
from tests.helpers.waiting import wait_until

_PASSWORD = "correct horse"
_HTML = {"Accept": "text/html,application/xhtml+xml"}
_OPEN = ["/health", "/healthz", "/readyz", "/version", "/errors", "/errors/internal", "/metrics"]
_CLOSED = ["/cameras", "/policy", "/policy/audits", "/audit", "/nowhere"]


class World:
    """An edge with an admin and a viewer, and a token for each role."""

    def __init__(self, running: Running, folder: Path, clock: FakeClock) -> None:
        self.edge = running
        self.folder = folder
        self.clock = clock
        self.tokens = {
            role: add_token(folder / "users.json", f"program-{role}", role)
            for role in (Role.VIEWER, Role.SENDER, Role.ADMIN)
        }

    def sign_in(self, name: str = "anna", password: str = _PASSWORD, **headers: str):
        form = {"name": name, "password": password, "next": "/cameras"}
        return self.edge.post("/login", data=form, allow_redirects=False, headers=headers)

    def bearer(self, role: Role) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}"}

    def lines(self) -> list[dict[str, Any]]:
        answer = self.edge.get("/audit", headers=self.bearer(Role.ADMIN))
        return list(answer.json()["result"]["lines"])


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Hash the passwords once: a guesser is meant to find that slow."""
    path = tmp_path_factory.mktemp("users") / "users.json"
    add_user(path, "anna", Role.ADMIN, _PASSWORD)
    add_user(path, "vera", Role.VIEWER, _PASSWORD)
    return path.read_text()


@contextmanager
def _running_world(folder: Path, models: Path, users: str) -> Iterator[World]:
    (folder / "users.json").write_text(users)
    clock = FakeClock()
    with running_edge(folder, models, clock=clock, policy={"name": "edge_only"}) as running:
        made = World(running, folder, clock)
        clock.advance(2)  # the file is read again
        yield made


@pytest.fixture
def world(tmp_path: Path, models: Path, users: str) -> Iterator[World]:
    with _running_world(tmp_path, models, users) as made:
        yield made


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, models: Path, users: str) -> Iterator[World]:
    """Give one world to all tests that only knock: nobody signs in, and nothing is changed."""
    with _running_world(tmp_path_factory.mktemp("door"), models, users) as made:
        yield made


@pytest.mark.parametrize("path", _OPEN)
def test_health_and_errors_are_open_to_everybody(door, path):
    assert door.edge.get(path).status_code == 200


@pytest.mark.parametrize("path", _CLOSED)
def test_everything_else_wants_a_name(door, path):
    answer = door.edge.get(path)
    assert (answer.status_code, answer.json()["err_no"]) == (401, 1030)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def _frames_counted(world: World) -> list[str]:
    rows = world.edge.get("/metrics").text.splitlines()
    return [row for row in rows if row.startswith("fire_edge_frames_total")]


@pytest.mark.parametrize("path", ["/predict", "/joint_predict", "/batch_predict", "/nowhere"])
def test_no_picture_is_looked_at_for_a_stranger(door, path):
    before = _frames_counted(door)
    assert door.edge.show(path, fire_jpeg()).status_code == 401
    assert _frames_counted(door) == before


def test_a_browser_is_led_to_the_sign_in_page_and_back(world):
    away = world.edge.get("/cameras?a=b", headers=_HTML, allow_redirects=False)
    assert (away.status_code, away.headers["Location"]) == (303, "/login?next=/cameras%3Fa%3Db")
    page = world.edge.get(away.headers["Location"], headers=_HTML)
    assert 'value="/cameras?a=b"' in page.text
    assert world.sign_in().headers["Location"] == "/cameras"
    assert world.edge.get("/cameras").status_code == 200


@pytest.mark.parametrize(
    ("page", "back"),
    [
        ("http://box:5000/ui/events?camera=yard", "/ui/events%3Fcamera%3Dyard"),
        ("https://evil.example//evil.example", "/"),
        ("not an address", "/"),
        ("", "/"),
    ],
)
def test_a_page_that_outlived_its_session_leads_to_the_sign_in_page_and_back(door, page, back):
    to = f"/login?ended=1&next={back}"
    script = {"HX-Request": "true", "HX-Current-URL": page}
    answer = door.edge.get("/cameras", headers=script)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, to)
    if page:
        form = {**_HTML, "Referer": page}
        answer = door.edge.post("/ui/acknowledge", headers=form, allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (303, to)
    assert "The session has ended" in door.edge.get(to, headers=_HTML).text


def test_the_cookie_cannot_be_read_by_scripts_or_sent_by_other_sites(world):
    cookie = world.sign_in().headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie
    assert cookie.startswith("emberlink_edge=")


def test_behind_a_proxy_with_tls_the_cookie_is_secure(tmp_path, models):
    add_user(tmp_path / "users.json", "anna", Role.ADMIN, _PASSWORD)
    server = {"trusted_proxy": "127.0.0.1"}
    form = {"name": "anna", "password": _PASSWORD}
    with running_edge(tmp_path, models, server=server) as edge:
        for proto, is_secure in (("https", True), ("http", False)):
            headers = {"X-Forwarded-Proto": proto, "X-Forwarded-For": "192.0.2.7"}
            answer = edge.post("/login", data=form, headers=headers, allow_redirects=False)
            assert ("Secure" in answer.headers["Set-Cookie"]) is is_secure
            edge.session.cookies.clear()
        token = add_token(tmp_path / "users.json", "t", Role.ADMIN)
        edge.service._gate.users._file._looked_mono_s -= 10
        lines = edge.get("/audit", headers={"Authorization": f"Bearer {token}"}).json()["result"]
    assert {line["address"] for line in lines["lines"]} == {"192.0.2.7"}


def test_a_proxy_that_nobody_named_is_not_believed(world):
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    assert "Secure" not in world.sign_in(**headers).headers["Set-Cookie"]
    assert world.lines()[0]["address"] == "127.0.0.1"


@pytest.mark.parametrize(("name", "password"), [("anna", "wrong horse"), ("nobody", _PASSWORD)])
def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(world, name, password):
    answer = world.sign_in(name, password)
    assert (answer.status_code, answer.json()["err_no"]) == (401, 1031)
    assert "Set-Cookie" not in answer.headers
    assert world.edge.get("/cameras").status_code == 401


def test_a_wrong_password_on_the_page_shows_the_page_again(world):
    answer = world.sign_in("anna", "wrong horse", **_HTML)
    assert answer.status_code == 401
    assert "name or password is not right" in answer.text
    chinese = world.sign_in("anna", "wrong horse", **_HTML, **{"Accept-Language": "zh-CN"})
    assert "用户名或密码不正确" in chinese.text


def test_guessing_is_slowed_down_even_for_the_right_password(world):
    codes = [world.sign_in("anna", f"wrong horse {n}").status_code for n in range(11)]
    assert codes == [401] * 10 + [429]
    refused = world.sign_in()
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1
    world.clock.advance(13)
    assert world.sign_in().status_code == 303


def test_each_sign_in_gets_a_new_session_and_ends_the_one_before(world):
    world.sign_in()
    first = world.edge.session.cookies["emberlink_edge"]
    world.sign_in()
    assert world.edge.session.cookies["emberlink_edge"] != first
    world.edge.session.cookies.clear()
    stolen = world.edge.get("/cameras", headers={"Cookie": f"emberlink_edge={first}"})
    assert stolen.status_code == 401


def test_an_id_that_somebody_else_chose_is_not_taken(world):
    fixed = "x" * 43
    headers = {"Cookie": f"emberlink_edge={fixed}"}
    form = {"name": "anna", "password": _PASSWORD}
    answer = world.edge.post("/login", data=form, headers=headers, allow_redirects=False)
    assert fixed not in answer.headers["Set-Cookie"]
    world.edge.session.cookies.clear()
    assert world.edge.get("/cameras", headers=headers).status_code == 401


def test_a_session_ends_by_idleness_and_by_age(world):
    world.sign_in()
    world.clock.advance(3_601)
    assert world.edge.get("/cameras").status_code == 401
    world.sign_in()
    for _ in range(12):
        world.clock.advance(3_550)
        assert world.edge.get("/cameras").status_code == 200
    world.clock.advance(3_550)
    assert world.edge.get("/cameras").status_code == 401


def test_signing_out_ends_the_session_on_the_server(world):
    world.sign_in()
    cookie = world.edge.session.cookies["emberlink_edge"]
    token = world.edge.get("/whoami").json()["result"]["csrf_token"]
    out = world.edge.post("/logout", headers={"X-CSRF-Token": token}, allow_redirects=False)
    assert (out.status_code, out.headers["Location"]) == (303, "/login")
    kept = world.edge.get("/cameras", headers={"Cookie": f"emberlink_edge={cookie}"})
    assert kept.status_code == 401


def test_a_removed_user_is_out_at_once(world):
    world.sign_in("vera")
    assert world.edge.get("/cameras").status_code == 200
    remove_user(world.folder / "users.json", "vera")
    world.clock.advance(2)
    assert world.edge.get("/cameras").status_code == 401


def test_a_new_password_ends_the_sessions_of_the_old_one(world):
    world.sign_in()
    add_user(world.folder / "users.json", "anna", Role.ADMIN, "another horse", may_replace=True)
    world.clock.advance(2)
    assert world.edge.get("/cameras").status_code == 401
    assert world.sign_in(password="another horse").status_code == 303


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        (Role.VIEWER, "/predict", 200),
        (Role.VIEWER, "/joint_predict", 403),
        (Role.SENDER, "/joint_predict", 200),
        (Role.SENDER, "/predict", 403),
        (Role.ADMIN, "/joint_predict", 200),
        (Role.ADMIN, "/predict", 200),
    ],
)
def test_a_token_may_what_its_role_may(door, role, path, status):
    answer = door.edge.show(path, fire_jpeg(), **door.bearer(role))
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        (Role.VIEWER, "/cameras", 200),
        (Role.VIEWER, "/audit", 403),
        (Role.SENDER, "/cameras", 403),
        (Role.ADMIN, "/audit", 200),
    ],
)
def test_what_can_be_read_depends_on_the_role_too(door, role, path, status):
    assert door.edge.get(path, headers=door.bearer(role)).status_code == status


def test_a_wrong_token_is_no_token(door):
    headers = {"Authorization": "Bearer wrong"}
    assert door.edge.get("/cameras", headers=headers).status_code == 401
    assert door.edge.get("/healthz", headers=headers).status_code == 200


def test_the_command_line_gets_in_with_what_only_it_can_read(world):
    arguments = ["--port", str(world.edge.port), "--state", str(world.folder)]
    result = CliRunner().invoke(edge.cli.main, ["reload", *arguments])
    assert result.exit_code == 0, result.output
    assert os.stat(world.folder / "control.token").st_mode & 0o777 == 0o600
    line = world.lines()[0]
    assert (line["name"], line["action"]) == ("command-line", "POST /models/reload")
    elsewhere = [*arguments[:3], str(world.folder / "nothing")]
    assert CliRunner().invoke(edge.cli.main, ["reload", *elsewhere]).exit_code == 2


def test_whoami_tells_the_name_and_the_role(door):
    assert door.edge.get("/whoami").status_code == 401
    told = door.edge.get("/whoami", headers=door.bearer(Role.SENDER)).json()["result"]
    assert told == {"name": "program-sender", "role": "sender", "csrf_token": None}


def test_on_this_machine_without_users_everything_works_as_before(tmp_path, models):
    with running_edge(tmp_path, models) as edge:
        assert edge.get("/cameras").status_code == 200
        assert edge.show("/joint_predict", fire_jpeg()).status_code == 200
        assert edge.get("/audit").status_code == 200


def test_the_first_user_closes_the_short_way_too(tmp_path, models):
    with running_edge(tmp_path, models, policy={"name": "edge_only"}) as edge:
        assert edge.show("/joint_predict", fire_jpeg()).status_code == 200
        add_user(tmp_path / "users.json", "anna", Role.ADMIN, _PASSWORD)
        edge.service._gate.users._file._looked_mono_s -= 10
        assert edge.show("/joint_predict", fire_jpeg()).status_code == 401


def test_without_users_a_public_name_that_points_here_is_refused(tmp_path, models):
    with running_edge(tmp_path, models, policy={"name": "edge_only"}) as edge:
        assert edge.get("/cameras", headers={"Host": "evil.example"}).status_code == 401
        shown = edge.show("/joint_predict", fire_jpeg(), Host="evil.example")
        assert shown.status_code == 401
        assert edge.get("/healthz", headers={"Host": "evil.example"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        # What a browser adds by itself, for a proxy in front, does not tell that a program asks.
        {"Origin": "https://evil.example", "Authorization": "Basic YW5uYTpnZWhlaW0="},
    ],
)
def test_without_users_no_other_page_can_post(tmp_path, models, headers):
    with running_edge(tmp_path, models, policy={"name": "edge_only"}) as edge:
        for path in ("/joint_predict", "/predict", "/login"):
            answer = edge.show(path, fire_jpeg(), **headers)
            assert (answer.status_code, answer.json()["err_no"]) == (403, 1032)


_EXPOSED = [{"host": "0.0.0.0"}, {"trusted_proxy": "127.0.0.1"}]


@pytest.mark.parametrize("server", _EXPOSED)
def test_an_edge_that_others_can_reach_does_not_start_without_users(tmp_path, models, server):
    with pytest.raises(ConfigError, match="users add"):
        EdgeService(edge_settings(tmp_path, models, server=server))


def test_it_starts_when_somebody_says_that_open_is_meant_and_warns(tmp_path, models):
    sections = {"server": {"host": "0.0.0.0"}, "access": {"mode": "open"}}
    with running_edge(tmp_path, models, **sections) as edge:
        assert edge.get("/cameras").status_code == 200
        assert any("without authentication" in w for w in doubts(edge.service._settings))


def test_an_edge_that_was_told_to_wants_names_even_before_it_has_users(tmp_path, models):
    with running_edge(tmp_path, models, access={"mode": "required"}) as edge:
        answer = edge.get("/cameras")
        assert answer.status_code == 401
        assert "users add" in answer.json()["detail"]


def test_metrics_can_be_closed(tmp_path, models):
    token = add_token(tmp_path / "users.json", "prometheus", Role.VIEWER)
    with running_edge(tmp_path, models, access={"metrics_are_open": False}) as edge:
        assert edge.get("/metrics").status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        assert edge.get("/metrics", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/cameras", "/login", "/healthz", "/errors", "/nowhere"])
def test_every_answer_tells_browsers_to_be_strict(door, path):
    headers = door.edge.get(path).headers
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


class CloudWorld:
    """A cloud with an admin, a viewer and an edge's key."""

    def __init__(self, running: Running, folder: Path) -> None:
        self.cloud = running
        self.folder = folder
        self.key = add_key(folder / "keys.json", "gate")

    def sign_in(self, name: str) -> str:
        """Sign in; gives the token of the forms."""
        form = {"name": name, "password": _PASSWORD}
        assert self.cloud.post("/login", data=form, allow_redirects=False).status_code == 303
        return str(self.cloud.get("/whoami").json()["result"]["csrf_token"])

    def lines(self) -> list[tuple[str, str, str]]:
        with sqlite3.connect(self.folder / "audit.sqlite3") as sql:
            found = sql.execute("SELECT name, action, outcome FROM audit ORDER BY number")
            return found.fetchall()


@pytest.fixture
def cloud_world(tmp_path: Path, models: Path, users: str) -> Iterator[CloudWorld]:
    (tmp_path / "users.json").write_text(users)
    with running_cloud(tmp_path, models) as running:
        world = CloudWorld(running, tmp_path)
        running.service._keys._file._looked_mono_s -= 10
        yield world


_RELOAD = "/models/reload"


def test_an_admin_changes_with_the_form_token_of_the_session(cloud_world):
    token = cloud_world.sign_in("anna")
    cloud = cloud_world.cloud
    assert cloud.post(_RELOAD, headers={"X-CSRF-Token": token}).status_code == 200
    assert cloud.post(_RELOAD, data={"csrf_token": token}).status_code == 200
    assert cloud_world.lines()[-2:] == [("anna", f"POST {_RELOAD}", "begun")] * 2


@pytest.mark.parametrize("headers", [{}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "x" * 43}])
def test_a_change_without_the_form_token_is_refused(cloud_world, headers):
    cloud_world.sign_in("anna")
    answer = cloud_world.cloud.post(_RELOAD, headers=headers)
    assert (answer.status_code, answer.json()["err_no"]) == (403, 1032)


def test_the_form_token_of_another_session_does_not_count(cloud_world):
    other = cloud_world.sign_in("vera")
    cloud_world.sign_in("anna")
    answer = cloud_world.cloud.post(_RELOAD, headers={"X-CSRF-Token": other})
    assert answer.status_code == 403


def test_a_viewer_looks_and_changes_nothing_and_the_try_is_written_down(cloud_world):
    token = cloud_world.sign_in("vera")
    assert cloud_world.cloud.get("/models").status_code == 200
    answer = cloud_world.cloud.post(_RELOAD, headers={"X-CSRF-Token": token})
    assert (answer.status_code, answer.json()["err_no"]) == (403, 1024)
    assert cloud_world.lines()[-1] == ("vera", f"POST {_RELOAD}", "refused")


def test_edges_still_sign_and_may_only_ask(cloud_world):
    auth = SignedBy("gate", cloud_world.key)
    cloud = cloud_world.cloud
    assert cloud.post("/infer", data=fire_jpeg(), auth=auth).status_code == 415
    assert cloud.post(_RELOAD, auth=auth).status_code == 403
    assert cloud.get("/models", auth=auth).status_code == 403


def test_a_user_on_this_machine_s_cloud_does_not_lock_its_edges_out(tmp_path, models):
    add_user(tmp_path / "users.json", "anna", Role.ADMIN, _PASSWORD)
    with running_cloud(tmp_path, models) as cloud:
        assert cloud.show("/infer", fire_jpeg()).status_code == 200
        assert cloud.get("/models").status_code == 401


def test_a_change_that_cannot_be_written_down_is_not_made(cloud_world):
    (cloud_world.folder / "audit.sqlite3").unlink(missing_ok=True)
    (cloud_world.folder / "audit.sqlite3").mkdir()
    cloud_world.cloud.service._gate.audit.close()
    token = cloud_world.sign_in("anna")  # to look, somebody must still get in
    answer = cloud_world.cloud.post(_RELOAD, headers={"X-CSRF-Token": token})
    assert (answer.status_code, answer.json()["err_no"]) == (503, 4001)


def test_a_change_that_failed_says_so_in_the_audit(tmp_path):
    folder = write_detector(tmp_path / "models")
    with running_cloud(tmp_path, tmp_path / "models") as cloud:
        (folder / "manifest.json").write_text("{")
        assert cloud.post(_RELOAD).status_code == 500
        lines = cloud.get("/audit").json()["result"]["lines"]
    assert [line["outcome"] for line in lines[:2]] == ["failed", "begun"]
    assert {line["name"] for line in lines} == {"local"}


def test_audit_lines_are_never_altered(cloud_world):
    cloud_world.sign_in("anna")
    with sqlite3.connect(cloud_world.folder / "audit.sqlite3") as sql:
        for statement in ("UPDATE audit SET name = 'x'", "DELETE FROM audit"):
            with pytest.raises(sqlite3.IntegrityError):
                sql.execute(statement)


def test_the_audit_is_read_page_by_page(world):
    for _ in range(5):
        world.sign_in("anna", "wrong horse")
    headers, seen, cursor = world.bearer(Role.ADMIN), [], ""
    while cursor is not None:
        query = f"?limit=2{f'&cursor={cursor}' if cursor else ''}"
        page = world.edge.get(f"/audit{query}", headers=headers).json()["result"]
        seen += [line["number"] for line in page["lines"]]
        cursor = page["next"]
    assert seen == [5, 4, 3, 2, 1]
    assert world.edge.get("/audit?limit=201", headers=headers).status_code == 400


def test_no_secret_is_in_the_file_of_users_which_only_we_can_read(door):
    path = door.folder / "users.json"
    text = path.read_text()
    assert _PASSWORD not in text
    assert all(token not in text for token in door.tokens.values())
    assert os.stat(path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"users": {"a b": {"role": "admin", "password": "x"}}}',
        '{"users": {"anna": {"role": "guest", "password": "x"}}}',
        '{"users": {"anna": {"role": "admin", "password": "plain"}}}',
        '{"tokens": {"t": {"role": "admin", "digest": "short"}}}',
    ],
)
def test_with_a_broken_file_of_users_a_box_watches_lets_nobody_in_and_says_so(
    tmp_path, models, text
):
    (tmp_path / "users.json").write_text(text)
    with running_edge(tmp_path, models, cameras={"yard": {"source": "sim:"}}) as edge:
        assert edge.get("/cameras").status_code == 401
        assert edge.show("/joint_predict", calm_jpeg()).status_code == 401
        wait_until(lambda: edge.service._live.look("yard"))
        disk = edge.get("/readyz").json()["checks"]["disk"]
        assert disk["state"] == "degraded"
        assert "users.json" in disk["text"]
        assert "plain" not in disk["text"]


def test_a_file_of_users_that_is_mended_lets_them_in_without_a_restart(tmp_path, models):
    (tmp_path / "users.json").write_text("{")
    clock = FakeClock()
    with running_edge(tmp_path, models, clock=clock) as edge:
        (tmp_path / "users.json").unlink()
        token = add_token(tmp_path / "users.json", "screen", Role.VIEWER)
        clock.advance(2)
        headers = {"Authorization": f"Bearer {token}"}
        assert edge.get("/cameras", headers=headers).status_code == 200
        assert edge.get("/readyz").json()["checks"]["disk"]["state"] == "ok"


@pytest.mark.parametrize("program", [edge.cli.main, cloud.cli.main])
def test_users_and_tokens_are_made_listed_and_taken_away_on_the_command_line(tmp_path, program):
    def run(*arguments: str, typed: str | None = None) -> Any:
        command = [*arguments, "--state", str(tmp_path)]
        return CliRunner().invoke(program, command, input=typed)

    piped = run("users", "add", "anna", "--role", "admin", "--password-stdin", typed=_PASSWORD)
    assert piped.exit_code == 0, piped.output
    asked = run("users", "add", "vera", "--role", "viewer", typed=f"{_PASSWORD}\n{_PASSWORD}\n")
    assert asked.exit_code == 0, asked.output
    assert _PASSWORD not in asked.output
    assert run("users", "list").stdout == "anna  admin\nvera  viewer\n"
    assert run("users", "remove", "vera").exit_code == 0
    assert run("users", "remove", "vera").exit_code == 1
    token = run("tokens", "add", "grafana", "--role", "viewer").stdout.strip()
    assert len(token) == 43
    before = (tmp_path / "users.json").read_bytes()
    again = run("users", "add", "anna", "--role", "viewer", "--password-stdin", typed=_PASSWORD)
    assert (again.exit_code, "--replace" in again.output) == (2, True)
    again = run("tokens", "add", "grafana", "--role", "admin")
    assert (again.exit_code, "--replace" in again.output) == (2, True)
    assert (tmp_path / "users.json").read_bytes() == before
    other = run("tokens", "add", "grafana", "--role", "viewer", "--replace").stdout.strip()
    assert other not in ("", token)
    assert run("tokens", "list").stdout == "grafana  viewer\n"
    assert run("tokens", "remove", "grafana").exit_code == 0
    assert run("tokens", "remove", "grafana").exit_code == 1
    assert set(read_users(tmp_path / "users.json").users) == {"anna"}


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        (["users", "add", "a b", "--role", "admin", "--password-stdin"], _PASSWORD),
        (["users", "add", "anna", "--role", "admin", "--password-stdin"], "short"),
        (["users", "add", "anna", "--role", "admin", "--password-stdin"], "x" * 300),
        (["users", "add", "anna", "--role", "guest", "--password-stdin"], _PASSWORD),
        (["tokens", "add", "a/b", "--role", "viewer"], ""),
    ],
)
def test_a_user_that_cannot_be_is_refused(tmp_path, arguments, typed):
    result = CliRunner().invoke(edge.cli.main, [*arguments, "--state", str(tmp_path)], input=typed)
    assert result.exit_code == 2
    assert not (tmp_path / "users.json").exists()


@pytest.mark.parametrize(
    "form",
    [
        {"name": "x" * 5_000, "password": "y"},
        {"name": "anna"},
        {"name": "anna", "password": "y" * 300},
    ],
)
def test_a_broken_form_is_refused_before_anything_is_hashed(door, form):
    answer = door.edge.post("/login", data=form)
    assert (answer.status_code, answer.json()["err_no"]) == (400, 1004)


def test_markup_in_the_address_stays_text_on_the_sign_in_page(door):
    page = door.edge.get('/login?next=/"><script>alert(1)</script>')
    assert "<script" not in page.text


def test_a_cloud_reached_by_others_starts_with_users_alone(tmp_path, models):
    add_token(tmp_path / "users.json", "tools", Role.SENDER)
    settings = cloud_settings(tmp_path, models, server={"host": "0.0.0.0"})
    service = CloudService(settings)
    service.start()
    try:
        answer = requests.post(f"http://127.0.0.1:{service.port}/infer", timeout=10)
        assert (answer.status_code, answer.json()["err_no"]) == (401, 1020)
    finally:
        service.stop()


@pytest.fixture
def event_world(world: World) -> World:
    """Add an event of three frames."""
    fill(world.edge.service._kept.records, "e1")
    return world


_LOOKS = [
    "/events/e1",
    "/events/e1/frames",
    "/events/e1/frames/e1-0",
]


@pytest.mark.parametrize("path", _LOOKS)
def test_every_look_at_evidence_is_written_down(event_world, path):
    headers = event_world.bearer(Role.VIEWER)
    assert event_world.edge.get(path, headers=headers).status_code == 200
    line = event_world.lines()[0]
    assert (line["name"], line["outcome"], line["subject"]) == ("program-viewer", "seen", path)


def test_a_slider_through_an_event_is_one_look_until_five_minutes_have_passed(event_world):
    headers = event_world.bearer(Role.VIEWER)
    for _ in range(2):
        for number in range(3):
            event_world.edge.get(f"/events/e1/frames/e1-{number}", headers=headers)
        event_world.clock.advance(301)
    looks = [line for line in event_world.lines() if line["outcome"] == "seen"]
    assert len(looks) == 2


def test_evidence_can_be_seen_while_the_audit_cannot_be_written(event_world):
    event_world.edge.service._gate.audit.close()
    (event_world.folder / "audit.sqlite3").unlink(missing_ok=True)
    (event_world.folder / "audit.sqlite3").mkdir()
    headers = event_world.bearer(Role.VIEWER)
    assert event_world.edge.get("/events/e1", headers=headers).status_code == 200


def test_a_person_s_own_name_counts_not_the_one_in_the_request(event_world):
    body = {"is_held": True, "why": "insurer", "by": "somebody else"}
    headers = event_world.bearer(Role.ADMIN)
    assert event_world.edge.post("/events/e1/hold", json=body, headers=headers).status_code == 200
    told = event_world.edge.get("/events/e1", headers=headers).text
    assert "program-admin" in told
    assert "somebody else" not in told
    changes = [line for line in event_world.lines() if line["outcome"] == "begun"]
    assert changes[0]["action"] == "POST /events/<event_id>/hold"


def test_a_viewer_cannot_hold_label_or_acknowledge(event_world):
    headers = event_world.bearer(Role.VIEWER)
    for path in ("hold", "label", "acknowledge"):
        assert (
            event_world.edge.post(f"/events/e1/{path}", json={}, headers=headers).status_code == 403
        )

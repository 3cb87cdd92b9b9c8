from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cloud.cli import main as cloud_main
from cloud.config import CloudSettings
from cloud.config_doubts import doubts
from edge.cli import main as edge_main
from edge.config.settings import EdgeSettings
from shared.config import load_settings
from shared.version import version

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PROGRAMS = {"emberlink-edge": edge_main, "emberlink-cloud": cloud_main}
SETTINGS = {"EMBERLINK_EDGE": EdgeSettings, "EMBERLINK_CLOUD": CloudSettings}
# What `systemd-analyze security` finds, times ten; docs/deploy.md says the same.
EXPOSURE = {"emberlink-edge": 19, "emberlink-cloud": 32, "emberlink-worker@": 32}


def needs(program: str) -> str:
    """Find a program on the path or beside Python; skip the test where it is missing."""
    found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_each_unit_where_its_program_is_installed(tmp_path, unit):
    analyze = needs("systemd-analyze")
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / unit.name
    copy.write_text(re.sub(r"/opt/emberlink/bin/\S+", str(program), unit.read_text()))
    checked = run(analyze, "verify", "--man=no", copy)
    complaints = [row for row in checked.stderr.splitlines() if unit.name in row]
    assert (checked.returncode, complaints) == (0, [])


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_each_unit_is_confined(unit):
    rows = unit.read_text().splitlines()
    for wanted in (
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "User=emberlink",
    ):
        assert wanted in rows


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_each_unit_is_as_confined_as_the_guide_says(unit):
    analyze, most = needs("systemd-analyze"), EXPOSURE[unit.stem]
    checked = run(analyze, "security", "--offline=true", f"--threshold={most}", unit)
    assert checked.returncode == 0, checked.stdout[-200:]
    assert f"{most / 10}" in (DEPLOY.parent / "docs" / "deploy.md").read_text()


@pytest.mark.parametrize("name", ["edge", "cloud"])
def test_an_image_s_recipe_has_nothing_that_hadolint_objects_to(name):
    checked = run(needs("hadolint"), DEPLOY / f"docker/{name}.Dockerfile")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("script", sorted(DEPLOY.glob("*.sh")), ids=lambda path: path.name)
def test_a_script_has_nothing_that_shellcheck_objects_to(script):
    checked = run(needs("shellcheck"), script)
    assert checked.returncode == 0, checked.stdout


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes/emberlink-cloud.yaml").read_text()))


def containers() -> Iterator[dict[str, Any]]:
    """Give the containers of ours in the manifests."""
    for document in manifests():
        for found in (
            document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ())
        ):
            if found["image"].startswith("emberlink"):
                yield found


def compose_services() -> dict[str, dict[str, Any]]:
    services = yaml.safe_load((DEPLOY / "docker/compose.yaml").read_text())["services"]
    return {name: one for name, one in services.items() if one["image"].startswith("emberlink")}


def command_lines() -> Iterator[tuple[str, str, list[str]]]:
    """Give every command line that a deploy file starts, as (where, program, arguments)."""
    for unit in UNITS:
        words = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)[0].split()
        yield unit.name, Path(words[0]).name, words[1:]
    for container in containers():
        yield container["name"], "emberlink-cloud", container["args"]
    for name, service in compose_services().items():
        program = service.get("entrypoint", [service["image"]])[0]
        if "command" in service:
            yield name, program, service["command"]
    for name in ("edge", "cloud"):
        text = (DEPLOY / f"docker/{name}.Dockerfile").read_text()
        words = json.loads(re.findall(r"^CMD (.*)$", text, re.MULTILINE)[0])
        yield f"{name}.Dockerfile", f"emberlink-{name}", words


@pytest.mark.parametrize(
    ("program", "arguments"),
    [line[1:] for line in command_lines()],
    ids=[line[0] for line in command_lines()],
)
def test_what_a_deploy_file_starts_is_what_the_command_line_takes(program, arguments):
    name, *rest = arguments
    command = PROGRAMS[program].commands[name].load()
    assert command.make_context(name, list(rest)).params
    with pytest.raises(click.UsageError):  # it would have said so
        command.make_context(name, [*rest, "--magic"])


def environments() -> Iterator[tuple[str, dict[str, str]]]:
    """Give the environment of ours that each deploy file sets."""
    for unit in sorted((DEPLOY / "systemd").iterdir()):
        rows = re.findall(r"^Environment=(EMBERLINK\w+)=(.*)$", unit.read_text(), re.MULTILINE)
        yield unit.name, {name: value.replace("%i", "3") for name, value in rows}
    for container in containers():
        yield container["name"], {one["name"]: one["value"] for one in container.get("env", ())}
    for name, service in compose_services().items():
        yield name, service.get("environment", {})
    for name in ("edge", "cloud"):
        text = (DEPLOY / f"docker/{name}.Dockerfile").read_text()
        yield f"{name}.Dockerfile", dict(re.findall(r"(EMBERLINK\w+)=(\S+)", text))


@pytest.mark.parametrize(
    "environ", [one[1] for one in environments()], ids=[one[0] for one in environments()]
)
def test_what_a_deploy_file_sets_is_a_setting(tmp_path, environ):
    (tmp_path / "cloud-key").write_text("as systemd hands it over in its %d")
    environ = {name: value.replace("%d", str(tmp_path)) for name, value in environ.items()}
    if "EMBERLINK_EDGE__CLOUD__KEY_FILE" in environ:
        environ["EMBERLINK_EDGE__CLOUD__EDGE_ID"] = (
            "gate"  # a key is nothing without the name it belongs to
        )
    for prefix, settings in SETTINGS.items():
        assert load_settings(settings, prefix=prefix, environ=environ)


def test_the_manifests_ports_probes_and_image_are_those_of_the_services():
    (text,) = [d["data"]["cloud.toml"] for d in manifests() if d["kind"] == "ConfigMap"]
    settings = CloudSettings.model_validate(tomllib.loads(text))
    ports = {"front": settings.server.port, "worker": settings.worker.port}
    found = {c["name"]: c for c in containers()}
    assert {name: c["ports"][0]["containerPort"] for name, c in found.items()} == ports
    for container in found.values():
        assert container["image"] == f"emberlink-cloud:{version()}"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["livenessProbe"]["httpGet"]["port"] == container["ports"][0]["name"]


def test_the_compose_file_fits_its_schema():
    schema = "vendor.compose-spec"
    checked = run(
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        schema,
        DEPLOY / "docker/compose.yaml",
    )
    assert checked.returncode == 0, checked.stdout


def test_the_manifests_fit_the_schemas_of_kubernetes():
    path, program = (
        DEPLOY / "kubernetes/emberlink-cloud.yaml",
        Path(sys.executable).with_name("kubernetes-validate"),
    )
    checked = run(program, "--strict", "--kubernetes-version", "1.37.0", path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_settings_in_the_manifests_are_settings_of_the_service():
    (text,) = [d["data"]["cloud.toml"] for d in manifests() if d["kind"] == "ConfigMap"]
    assert CloudSettings.model_validate(tomllib.loads(text)).engine.kind.value == "redis"


@pytest.mark.parametrize("name", ["edge", "cloud"])
def test_an_image_runs_as_nobody_special_and_copies_only_what_exists(name):
    rows = (DEPLOY / f"docker/{name}.Dockerfile").read_text().splitlines()
    copied = [row.split()[1:-1] for row in rows if row.startswith("COPY ") and "--from" not in row]
    assert all((DEPLOY.parent / source).exists() for sources in copied for source in sources)
    assert "USER 10001" in rows
    assert any(row.startswith("HEALTHCHECK") for row in rows)


def test_the_build_of_an_image_is_sent_what_it_copies_and_nothing_else():
    rows = (DEPLOY.parent / ".dockerignore").read_text().splitlines()
    copied = {
        source
        for name in ("edge", "cloud")
        for row in re.findall(
            r"^COPY (?!--from)(.+)$", (DEPLOY / "docker" / f"{name}.Dockerfile").read_text(), re.M
        )
        for source in row.split()[:-1]
    }
    sent = {
        str(path.relative_to(DEPLOY.parent))
        for row in rows
        if row.startswith("!")
        for path in DEPLOY.parent.glob(row[1:])
    }
    assert rows[1] == "*"
    assert copied <= sent
    assert all(path.startswith("deploy/locks/") for path in sent - copied)


@pytest.mark.parametrize("option", ["--prefix", "--state", "--camera", "--cloud"])
def test_the_installer_says_which_option_lacks_its_value(option):
    refused = run("bash", DEPLOY / "install-edge.sh", "--no-system", option)
    assert (refused.returncode, refused.stderr) == (2, f"{option} needs a value (see --help)\n")


def test_the_installer_explains_itself_and_refuses_what_it_does_not_know():
    assert "--no-system" in run("bash", DEPLOY / "install-edge.sh", "--help").stdout
    refused = run("bash", DEPLOY / "install-edge.sh", "--magic")
    assert (refused.returncode, "--magic" in refused.stderr) == (2, True)


def test_the_example_settings_are_settings_of_the_cloud():
    given = tomllib.loads((DEPLOY / "cloud.example.toml").read_text())
    settings = CloudSettings.model_validate(given)
    assert (settings.model.device, doubts(settings)) == ("cuda", [])


_ROOT = DEPLOY.parent
_GUIDES = sorted([*_ROOT.glob("*.md"), *(_ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("guide", _GUIDES, ids=lambda guide: guide.name)
def test_every_file_that_the_guides_name_exists(guide):
    text = guide.read_text(encoding="utf-8")
    for name in re.findall(r"\bdeploy/[\w./@-]+\w", text):
        assert (_ROOT / name).exists(), f"{guide.name} names {name}"
    for link in re.findall(r"\]\((?!http|#)([^)#]+)", text):
        assert (guide.parent / link).exists(), f"{guide.name} links to {link}"


@pytest.mark.parametrize("guide", _GUIDES, ids=lambda guide: guide.name)
def test_every_heading_that_the_guides_link_to_is_there(guide):
    text = guide.read_text(encoding="utf-8")
    for link, anchor in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", text):
        target = (guide.parent / link if link else guide).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.+)$", target, flags=re.MULTILINE)
        known = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert anchor in known, f"{guide.name} links to {link}#{anchor}"

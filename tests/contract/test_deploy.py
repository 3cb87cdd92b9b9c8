from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from cloud.config import CloudSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def needs(program: str) -> str:
    found = shutil.which(program)
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
    path = DEPLOY / "kubernetes/emberlink-cloud.yaml"
    checked = run(Path(sys.executable).with_name("kubernetes-validate"), "--strict", path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_settings_in_the_manifests_are_settings_of_the_service():
    documents = yaml.safe_load_all((DEPLOY / "kubernetes/emberlink-cloud.yaml").read_text())
    (text,) = [d["data"]["cloud.toml"] for d in documents if d["kind"] == "ConfigMap"]
    assert CloudSettings.model_validate(tomllib.loads(text)).engine.kind.value == "redis"


@pytest.mark.parametrize("name", ["edge", "cloud"])
def test_an_image_runs_as_nobody_special_and_copies_only_what_exists(name):
    rows = (DEPLOY / f"docker/{name}.Dockerfile").read_text().splitlines()
    copied = [row.split()[1:-1] for row in rows if row.startswith("COPY ") and "--from" not in row]
    assert all((DEPLOY.parent / source).exists() for sources in copied for source in sources)
    assert "USER 10001" in rows
    assert any(row.startswith("HEALTHCHECK") for row in rows)


def test_the_installer_explains_itself_and_refuses_what_it_does_not_know():
    assert "--no-system" in run("bash", DEPLOY / "install-edge.sh", "--help").stdout
    refused = run("bash", DEPLOY / "install-edge.sh", "--magic")
    assert (refused.returncode, "--magic" in refused.stderr) == (2, True)


def test_the_example_settings_are_settings_of_the_cloud():
    given = tomllib.loads((DEPLOY / "cloud.example.toml").read_text())
    assert CloudSettings.model_validate(given).model.device == "cuda"


_ROOT = DEPLOY.parent
_GUIDES = [_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("guide", _GUIDES, ids=lambda guide: guide.name)
def test_every_file_that_the_guides_name_exists(guide):
    text = guide.read_text(encoding="utf-8")
    for name in re.findall(r"\bdeploy/[\w./@-]+\w", text):
        assert (_ROOT / name).exists(), f"{guide.name} names {name}"
    for link in re.findall(r"\]\((?!http|#)([^)#]+)", text):
        assert (guide.parent / link).exists(), f"{guide.name} links to {link}"

"""Writes what is generated from the code: error codes, settings, the Grafana dashboard. `make docs` runs it."""

from __future__ import annotations

from pathlib import Path

from cloud.config import ENV_PREFIX as CLOUD_PREFIX
from cloud.config import CloudSettings
from docs.dashboard import dashboard
from edge.config.settings import ENV_PREFIX as EDGE_PREFIX
from edge.config.settings import EdgeSettings
from edge.decide.reasons import Reason, sentence
from shared.config import describe_settings
from shared.error_code import ErrorCode, ErrorRow

_HERE = Path(__file__).parent
DASHBOARD = _HERE.parent / "deploy" / "grafana" / "emberlink.json"

_ERRORS_INTRO = """# Error codes

Generated from `shared/error_code.py` by `make docs`. Every JSON answer holds `err_no`, 0 on success; an error also
says what went wrong in `detail`. Numbers never change their meaning. Both services serve this table at `/errors`,
and each row at `/errors/<slug>`, which is where the `type` of an error points.

`POST /fire_detector` alone answers the codes 1000–2999 with HTTP 200, except those whose status is 401, 404, 405, 413,
429 or 503.
"""

_SETTINGS_INTRO = f"""# Settings

Generated from the settings classes by `make docs`. A value is taken from, later wins: its default, the TOML file
(`--config`, or the one that `{EDGE_PREFIX}_CONFIG` names), a secret file, the environment, the command line. The
environment variable of `policy.daily_limit` is `{EDGE_PREFIX}__POLICY__DAILY_LIMIT`; a secret file has the same name in
lower case and lies in `/run/secrets` or in systemd's `$CREDENTIALS_DIRECTORY`. Unknown keys are errors; all problems
are reported at once.
"""


def errors_page() -> str:
    """Write the tables of error codes and of reasons."""
    codes = [_code_cells(code.row) for code in ErrorCode]
    reasons = [[f"`{r.value}`", sentence(r), sentence(r, is_chinese=True)] for r in Reason]
    return "\n".join(
        [
            _ERRORS_INTRO,
            _table(["err_no", "slug", "HTTP", "try again", "meaning", "中文", "what to do"], codes),
            "# Reasons of a decision\n",
            _table(["`decision.reason`", "meaning", "中文"], reasons),
        ]
    )


def settings_page() -> str:
    """Write the reference of all settings."""
    parts = [_SETTINGS_INTRO]
    services = (("Edge", EdgeSettings, EDGE_PREFIX), ("Cloud", CloudSettings, CLOUD_PREFIX))
    for title, settings, prefix in services:
        rows = [
            [f"`{name}`", f"`{default}`" if default else "–", description]
            for name, default, description in describe_settings(settings)
        ]
        parts += [f"## {title} (`{prefix}__…`)\n", _table(["setting", "default", "meaning"], rows)]
    return "\n".join(parts)


def main() -> None:
    """Write all pages."""
    (_HERE / "errors.md").write_text(errors_page(), encoding="utf-8")
    (_HERE / "settings.md").write_text(settings_page(), encoding="utf-8")
    DASHBOARD.write_text(dashboard(), encoding="utf-8")


def _code_cells(row: ErrorRow) -> list[str]:
    again = "yes" if row.retryable else "no"
    meaning = [row.text_en, row.text_zh, row.hint]
    return [str(row.number), f"`{row.slug}`", str(row.http_status), again, *meaning]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


if __name__ == "__main__":
    main()

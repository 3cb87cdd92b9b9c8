from __future__ import annotations

import gzip
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import edge.ui
from edge.config.settings import EdgeSettings
from edge.decide.reasons import Reason
from edge.ui.settings_model import leaves
from edge.ui.speech import Speech
from edge.ui.words import catalogue, has_words, say, settings_in_chinese
from shared.config import describe_settings
from shared.ui.assets import SHARED, vendored
from shared.web import app as web

_UI = Path(edge.ui.__file__).parent
_PAGES = [*_UI.glob("templates/*.html"), *web.TEMPLATES.glob("*.html")]
_VALUE = re.compile(r"{(\w+)}")


def _speech(language: str) -> Speech:
    return Speech(
        language=language,
        zone=ZoneInfo("Asia/Shanghai"),
        now=datetime(2026, 11, 20, 6, 32, 28, tzinfo=UTC),
    )


def test_every_text_has_both_languages_and_takes_the_same_values() -> None:
    for key, (english, chinese) in catalogue().items():
        assert english.strip(), key
        assert chinese.strip(), key
        if not key.endswith("_one"):
            assert set(_VALUE.findall(english)) == set(_VALUE.findall(chinese)), key


def test_every_setting_is_explained_in_chinese_with_its_figures_and_no_other_is() -> None:
    english = {description for _, _, description in describe_settings(EdgeSettings)}
    sparse = {"cameras": {"gate": {"source": "sim:"}}, "alerts": {"sinks": {}}}
    for given in ({}, sparse):
        english |= {m for _, _, m in leaves(EdgeSettings.model_validate(given))}
    assert set(settings_in_chinese()) == english
    figure = re.compile(r"\d[\d.:]*\d|\d|`[^`]+`|\$\{\w+\}|[a-z]+_[a-z_]+")
    for told, chinese in settings_in_chinese().items():
        assert re.search("[\u4e00-\u9fff]", chinese) or told == chinese, told
        assert set(figure.findall(told)) == set(figure.findall(chinese)), told


def test_every_reason_has_a_sentence_for_people() -> None:
    assert [r.value for r in Reason if not has_words(f"reason.{r.value}")] == []


def test_every_text_that_a_page_names_is_in_the_catalogue() -> None:
    named = re.compile(r"""\bt\(\s*'([a-z_]+\.[A-Za-z_]+)'""")
    spoken = re.compile(r"""\.t\(\s*"([a-z_]+\.[A-Za-z_]+)"[,)]""")
    asked = {key for path in _PAGES for key in named.findall(path.read_text())}
    asked |= {key for path in _UI.glob("*.py") for key in spoken.findall(path.read_text())}
    assert len(asked) > 100
    stems = {key for key in asked if key.endswith("_")}
    assert [s for s in stems if not any(key.startswith(s) for key in catalogue())] == []
    assert sorted(key for key in asked - stems if not has_words(key)) == []


def test_no_page_is_written_in_one_language_only() -> None:
    """Words between tags that come from no catalogue, but for marks that are the same in both."""
    for path in _PAGES:
        bare = re.sub(
            r"{#.*?#}|{%.*?%}|{{.*?}}|<code[^>]*>.*?</code>|<kbd>.*?</kbd>",
            " ",
            path.read_text(),
            flags=re.S,
        )
        texts = re.findall(r">([^<>]*[A-Za-z]{2}[^<>]*)<", bare)
        assert [
            t.strip()
            for t in texts
            if not {"Emberlink", "CSV"} >= set(re.findall(r"[A-Za-z]{2,}", t))
        ] == [], path


def test_values_are_escaped_and_markup_is_not() -> None:
    shown = say("now.fire", "en", name="<b>&\n")
    assert shown == "Fire: &lt;b&gt;&amp;\n"
    at = _speech("en").clock(datetime(2026, 11, 20, 6, 32, 7, tzinfo=UTC))
    assert 'title="06:32:07 UTC">14:32:07</time>' in say("now.began_at", "en", at=at)


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [(0, "0 s", "0 秒"), (18.2, "18 s", "18 秒"), (250, "4 min 10 s", "4 分钟 10 秒"), (7200, "2 h", "2 小时"),
     (9 * 86_400 + 4 * 3600 + 5, "9 d 4 h", "9 天 4 小时")],
)  # fmt: skip
def test_durations_are_said_in_their_two_largest_units(
    seconds: float, english: str, chinese: str
) -> None:
    assert _speech("en").duration(seconds) == english
    assert _speech("zh").duration(seconds) == chinese


def test_shares_that_are_not_all_are_not_called_all() -> None:
    speech = _speech("en")
    assert speech.percent(0.9985) == "99\N{NO-BREAK SPACE}%"
    assert speech.percent(1.0) == "100\N{NO-BREAK SPACE}%"


def test_days_are_named_as_people_do() -> None:
    now = datetime(2026, 11, 20, 6, 32, 28, tzinfo=UTC)
    days = [now.date(), now.date().replace(day=19), now.date().replace(day=18)]
    assert [str(_speech("en").day_heading(d)) for d in days] == [
        "Today, 20 November",
        "Yesterday, 19 November",
        "Wednesday, 18 November",
    ]
    assert str(_speech("zh").day_heading(days[2])) == "11 月 18 日，星期三"


def test_vendored_files_are_what_their_manifest_says_and_carry_their_licence() -> None:
    for files in (SHARED, _UI / "static"):
        listed = {entry["file"]: entry for entry in vendored(files)}
        folder = files / "vendor"
        assert {p.name for p in folder.iterdir() if p.suffix in (".js", ".css", ".gz")} == set(
            listed
        )
        for name, entry in listed.items():
            content = (folder / name).read_bytes()
            plain = gzip.decompress(content) if name.endswith(".gz") else content
            assert hashlib.sha256(plain).hexdigest() == entry["sha256"]
            assert (folder / entry["licence_file"]).read_text().strip()


def test_no_file_of_the_console_names_another_machine() -> None:
    for path in [*SHARED.glob("*.*"), *_PAGES]:
        addresses = re.findall(r"https?://[^\s\"'<>)]+", path.read_text())
        assert [a for a in addresses if not a.startswith("http://www.w3.org/")] == [], path

"""An event for somebody else: one zip that reads by itself and can be checked with nothing but Python."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from edge.record.records import Records
from edge.record.retention import KeepRules
from edge.record.standalone_verify import check, read_files
from edge.record.types import Mark
from tests.helpers.clock import FakeClock
from tests.helpers.evidence import AT, BOX, fill, kept_frame, open_records
from tests.helpers.services import running_edge

_DAY_S = 86_400.0
_EVIL = "<script>alert('火')</script>"


@pytest.fixture
def records(tmp_path) -> Iterator[Records]:
    """Fill a store with an event to hand out between two that are nobody else's business."""
    facts = {"source": "rtsp://***@10.0.0.5/s", "fps": 2.0, "note": _EVIL, "box": "north"}
    with open_records(
        tmp_path / "e", camera_facts=lambda camera: facts, zone=timezone(timedelta(hours=8))
    ) as made:
        fill(made, "before", camera="private")
        fill(made, "event")
        fill(made, "between", camera="private")
        made.label("event", Mark.TRUE, by=_EVIL, note=_EVIL)
        fill(made, "after", camera="private")
        yield made


def _packed(records: Records, event_id: str = "event", *, is_chinese: bool = False) -> bytes:
    target = io.BytesIO()
    records.export(event_id, target, is_chinese=is_chinese)
    return target.getvalue()


def _unpacked(packed: bytes, folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        file.extractall(folder)
    return folder


def _verify(*arguments: object) -> subprocess.CompletedProcess[str]:
    # -I: no packages of ours, no environment; what travels along must be enough.
    command = [sys.executable, "-I", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def _report(packed: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        return file.read("report.html").decode()


def test_the_package_verifies_unpacked_and_packed(records, tmp_path):
    packed = _packed(records)
    folder = _unpacked(packed, tmp_path / "x")
    (tmp_path / "event.zip").write_bytes(packed)
    for arguments in ([folder / "verify.py"], [folder / "verify.py", tmp_path / "event.zip"]):
        result = _verify(*arguments)
        assert (result.returncode, result.stdout[:10]) == (0, "unaltered:"), result


def test_pictures_are_in_it_byte_for_byte_in_time_order(records, tmp_path):
    folder = _unpacked(_packed(records), tmp_path / "x")
    contents = [path.read_bytes() for path in sorted((folder / "pictures").iterdir())]
    assert contents == [kept_frame(f"event-{n}").frame.picture.encoded for n in range(3)]


def test_the_same_event_gives_the_same_bytes_whatever_else_is_recorded(records):
    first = _packed(records)
    fill(records, "later")
    assert _packed(records) == first


@pytest.mark.parametrize("name", ["report.html", "journal.jsonl", "verify.py"])
def test_a_changed_file_is_named(records, tmp_path, name):
    folder = _unpacked(_packed(records), tmp_path / "x")
    (tmp_path / "verify.py").write_bytes((folder / "verify.py").read_bytes())
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content.replace(b"e", b"E", 1))
    result = _verify(tmp_path / "verify.py", folder)
    assert result.returncode == 1
    assert f"changed  {name}" in result.stdout


def test_one_changed_byte_of_a_picture_is_named(records, tmp_path):
    folder = _unpacked(_packed(records), tmp_path / "x")
    path = sorted((folder / "pictures").iterdir())[1]
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    result = _verify(folder / "verify.py")
    assert result.returncode == 1
    assert f"changed  pictures/{path.name}" in result.stdout


def test_missing_and_added_files_are_named(records, tmp_path):
    folder = _unpacked(_packed(records), tmp_path / "x")
    path = sorted((folder / "pictures").iterdir())[0]
    path.rename(folder / "pictures" / "new.jpg")
    lines = _verify(folder / "verify.py").stdout.splitlines()
    assert f"missing  pictures/{path.name}" in lines
    assert "added    pictures/new.jpg" in lines


def test_a_journal_that_was_changed_with_its_hashes_breaks_the_chain(records, tmp_path):
    folder = _unpacked(_packed(records), tmp_path / "x")
    rows = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    rows[1]["line"] = rows[1]["line"].replace("0.8", "0.1")
    rows[1]["row_sha256"] = hashlib.sha256(rows[1]["line"].encode()).hexdigest()
    journal = "".join(f"{json.dumps(row, sort_keys=True)}\n" for row in rows)
    (folder / "journal.jsonl").write_text(journal)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["journal.jsonl"] = hashlib.sha256(journal.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = _verify(folder / "verify.py")
    assert result.returncode == 1
    assert "its chain does not end as it was handed out" in result.stdout


def test_the_hash_that_the_log_told_of_a_day_is_found_in_exports_of_its_events(tmp_path):
    clock = FakeClock(AT)
    with open_records(tmp_path / "e", clock) as records:
        fill(records, "event")
        fill(records, "later", camera="private")
        same_day = _packed(records)
        clock.advance(_DAY_S)
        fill(records, "tomorrow")
        _, noted = records.archive.head(before=(AT + timedelta(days=1)).date())
        packed = _packed(records)
    _unpacked(packed, tmp_path / "x")
    found = _verify(tmp_path / "x" / "verify.py", tmp_path / "x", noted)
    assert (found.returncode, found.stdout[:10]) == (0, "unaltered:"), found
    for folder, noted_hash in (("x", "0" * 64), ("y", noted)):
        _unpacked(same_day, tmp_path / "y")
        missed = _verify(tmp_path / "x" / "verify.py", tmp_path / folder, noted_hash)
        assert (missed.returncode, "missing  the noted hash" in missed.stdout) == (1, True)


def _relisted(folder: Path, **changes: object) -> None:
    """List a folder anew, as somebody would who alters it and knows how it is made."""
    manifest = {**json.loads((folder / "manifest.json").read_text()), **changes}
    manifest["files"] = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True))


def test_pictures_that_changed_places_are_named_though_they_were_listed_anew(records, tmp_path):
    folder = _unpacked(_packed(records), tmp_path / "x")
    one, other, _ = sorted((folder / "pictures").iterdir())
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(held)
    _relisted(folder)
    lines = _verify(folder / "verify.py").stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == [
        f"changed  pictures/{path.name}" for path in (one, other)
    ]


def test_a_picture_that_no_entry_has_is_named_though_it_was_listed(records, tmp_path):
    folder = _unpacked(_packed(records), tmp_path / "x")
    (folder / "pictures" / "00004_120010_event-3.jpg").write_bytes(b"made up")
    _relisted(folder)
    lines = _verify(folder / "verify.py").stdout.splitlines()
    assert "added    pictures/00004_120010_event-3.jpg: no entry of journal.jsonl has it" in lines


def test_entries_of_another_event_are_not_taken_for_those_of_this_one(records, tmp_path):
    folder = _unpacked(_packed(records), tmp_path / "x")
    _relisted(folder, event_id="other")
    result = _verify(folder / "verify.py")
    assert (result.returncode, "changed  journal.jsonl entry" in result.stdout) == (1, True)


def test_what_the_journal_says_is_told_so_that_a_rewritten_report_is_found_out(records, tmp_path):
    folder = _unpacked(_packed(records), tmp_path / "x")
    report = folder / "report.html"
    report.write_text(report.read_text().replace("12:00:00", "13:00:00"))
    _relisted(folder)
    assert "camera yard of box north," in (said := _verify(folder / "verify.py").stdout)
    assert "began 2026-03-10T12:00:00+00:00" in said


@pytest.mark.parametrize("offset", range(7))
def test_no_byte_of_a_package_can_be_another_and_nobody_notice(records, tmp_path, offset):
    packed = bytearray(_packed(records))
    path = tmp_path / "event.zip"
    path.write_bytes(packed)
    sound, _ = read_files(path)
    for at in range(offset, len(packed), 7 * 13):
        packed[at] ^= 1 << (at % 8)
        path.write_bytes(packed)
        try:
            files, wrong = read_files(path)
            wrong.extend(check(files, ""))
            is_noticed = bool(wrong)
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile):
            is_noticed = True  # the program says so with 1 or 2
        # What is left are dates and rights in the zip's own lists.
        assert is_noticed or files == sound, at
        packed[at] ^= 1 << (at % 8)


@pytest.mark.parametrize("text", ["[]", "{", '{"files": []}', "[" * 100_000, '{"seq": 1}', "\xff"])
@pytest.mark.parametrize("name", ["manifest.json", "journal.jsonl"])
def test_text_of_any_other_shape_is_altered(records, tmp_path, name, text):
    folder = _unpacked(_packed(records), tmp_path / "x")
    (folder / name).write_bytes(text.encode("latin-1"))
    result = _verify(folder / "verify.py")
    assert (result.returncode, "ALTERED" in result.stdout, result.stderr) == (1, True, "")


def test_a_place_without_an_export_cannot_be_checked(records, tmp_path):
    folder = _unpacked(_packed(records), tmp_path / "x")
    assert _verify(folder / "verify.py", tmp_path / "nowhere").returncode == 2
    (tmp_path / "empty").mkdir()
    assert _verify(folder / "verify.py", tmp_path / "empty").returncode == 1


def test_other_events_appear_as_hashes_only(records):
    packed = _packed(records)
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        journal = file.read("journal.jsonl").decode()
    assert "private" not in journal
    assert "between" not in journal
    assert sum("line" not in json.loads(row) for row in journal.splitlines()) > 0


def test_the_report_tells_the_origin_before_everything_else(records):
    report = _report(_packed(records))
    began = report.index("20:00:00.0", report.index("<body>"))
    assert report.index('<section class="origin"') < began < report.index("Every decision")
    assert f'<rect class="box origin" x="{BOX.x1}" y="{BOX.y1}"' in report
    assert "2026-03-10T12:00:00.000+00:00" in report
    assert "upper left" in report


def test_the_report_gives_each_decision_its_reason_and_each_model_its_hash(records):
    report = _report(_packed(records))
    assert report.count("a look of the cloud was worth it") == 3
    assert "cloud-detector 1.0.0" in report
    assert "0123456789ab" in report
    assert "never replaces one" in report


def test_the_report_lists_every_picture_with_the_hash_of_its_file(records):
    packed = _packed(records)
    report = _report(packed)
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        pictures = {n: file.read(n) for n in file.namelist() if n.startswith("pictures/")}
    assert pictures
    for name, content in pictures.items():
        row = report[report.rindex(f'href="{name}"') :]
        assert hashlib.sha256(content).hexdigest() in row[: row.index("</tr>")]


def test_the_report_speaks_chinese(records):
    report = _report(_packed(records, is_chinese=True))
    assert '<html lang="zh-CN">' in report
    assert "值得由云侧查看" in report
    assert "不替代消防报警设备" in report


def test_what_people_wrote_cannot_become_markup(records):
    report = _report(_packed(records))
    assert "<script" not in report
    assert report.count("&lt;script&gt;") == 3


def test_a_picture_that_was_altered_on_the_box_is_left_out_and_named(records, tmp_path):
    frame = records.frames("event")[1]
    (path,) = (tmp_path / "e").rglob(frame.sha256)
    path.write_bytes(b"another picture")
    folder = _unpacked(_packed(records), tmp_path / "x")
    assert len(list((folder / "pictures").iterdir())) == 2
    assert "altered or lost" in (folder / "report.html").read_text()
    result = _verify(folder / "verify.py")
    assert result.returncode == 1
    assert "lost     event-1" in result.stdout


def test_an_event_whose_neighbours_were_pruned_and_cut_off_still_verifies(tmp_path):
    clock = FakeClock(AT)
    with open_records(tmp_path / "e", clock, rules=KeepRules(keep_days=30)) as records:
        fill(records, "old")
        clock.advance(40 * _DAY_S)
        fill(records, "event")
        records.prune()
        clock.advance(_DAY_S)
        records.prune()
        folder = _unpacked(_packed(records), tmp_path / "x")
    assert _verify(folder / "verify.py").returncode == 0


@pytest.mark.parametrize(
    ("is_chinese", "opened", "untraced", "began"),
    [
        (False, "Opened at", "Origin not traced", "It began at"),
        (True, "事件开启时间", "未追溯到起火点", "起始时间"),
    ],
)
def test_the_report_of_an_untraced_event_says_when_it_opened_and_names_no_beginning(
    tmp_path, is_chinese, opened, untraced, began
):
    with open_records(tmp_path / "e") as records:
        fill(records, "event", is_traced=False)
        report = _report(_packed(records, is_chinese=is_chinese))
    assert report.index(opened) < report.index(untraced) < report.index("<h2>")
    assert began not in report
    assert "event-0" in report


def test_an_event_without_an_origin_or_pictures_still_has_a_report(tmp_path):
    rules = KeepRules(max_bytes=1)
    with open_records(tmp_path / "e", rules=rules) as records:
        fill(records, "event", is_test=True)
        records.prune()
        packed = _packed(records)
        report = _report(packed)
    assert "no longer kept" in report
    assert "There was no fire" in report
    assert _verify(_unpacked(packed, tmp_path / "x") / "verify.py").returncode == 0


def test_an_export_comes_over_http_and_in_parts(tmp_path, models):
    with running_edge(tmp_path, models) as edge:
        fill(edge.service._kept.records)
        whole = edge.get("/events/event/export", headers={"Accept-Language": "zh"})
        assert whole.headers["Content-Type"] == "application/zip"
        assert "emberlink-event.zip" in whole.headers["Content-Disposition"]
        assert "起火" in _report(whole.content)
        part = edge.get(
            "/events/event/export", headers={"Accept-Language": "zh", "Range": "bytes=100-199"}
        )
        assert (part.status_code, part.content) == (206, whole.content[100:200])
        tag = {"If-Range": whole.headers["ETag"], "Range": "bytes=100-199"}
        assert edge.get("/events/event/export", headers=tag).status_code == 200  # another language
        assert (
            edge.get("/events/event/export", headers={**tag, "Accept-Language": "zh"}).status_code
            == 206
        )
        missing = edge.get("/events/nobody/export")
        assert (missing.status_code, missing.json()["err_no"]) == (404, 4003)

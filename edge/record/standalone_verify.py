#!/usr/bin/env python3
"""Says whether an export of evidence is as it was handed out, or names what is not. Ring: a program of its own.

It travels inside every export and needs nothing but Python 3.8 or newer:

    python3 verify.py                   in the unpacked folder
    python3 verify.py event.zip         the packed file
    python3 verify.py event.zip HASH    also looks for a hash of the chain that was noted elsewhere

It ends with 0 when everything is unaltered, with 1 when something is not, with 2 when it cannot look. Whoever alters an
export can also list the altered files anew; what the journal says, and which picture is which, stands only as long as
the chain ends with a hash that was noted elsewhere. So it tells what the journal says, to be held against the report.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

_LIST = "manifest.json"
_JOURNAL = "journal.jsonl"
_PICTURES = "pictures/"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def picture_name(number: int, captured_at: datetime, frame_id: str, *, is_png: bool) -> str:
    """Name the file of a frame; `number` is its place in time order, from 1."""
    stem, suffix = _UNSAFE.sub("_", frame_id)[:40], "png" if is_png else "jpg"
    return f"{_PICTURES}{number:05d}_{captured_at:%H%M%S}_{stem}.{suffix}"


def list_text(manifest: dict[str, Any]) -> str:
    """Write the list of files in its one form, so that no byte of it can be another."""
    return json.dumps(manifest, ensure_ascii=True, indent=1, sort_keys=True)


def read_files(place: Path) -> tuple[dict[str, bytes], list[str]]:
    """Read every file of a folder or a zip by its name; gives what could not be read, too."""
    if place.is_dir():
        paths = [path for path in place.rglob("*") if path.is_file()]
        return {path.relative_to(place).as_posix(): path.read_bytes() for path in paths}, []
    files, wrong = {}, []
    try:
        packed = zipfile.ZipFile(place)
    except (NotImplementedError, ValueError) as err:  # altered bytes may ask for a later format
        raise zipfile.BadZipFile(str(err)) from err
    with packed:
        for member in packed.infolist():
            name = member.filename
            if member.is_dir():
                continue
            if name in files:
                wrong.append(f"added    {name}: it is packed twice")
            files[name] = b""
            try:
                files[name] = packed.read(member)
            except Exception as err:  # zipfile and zlib raise many kinds for altered bytes
                wrong.append(f"changed  {name}: cannot be unpacked, {err}")
    return files, wrong


def check(files: dict[str, bytes], noted_hash: str) -> Iterator[str]:
    """Name everything that is not as it was handed out; raises where altered text has another shape."""
    if _LIST not in files:
        yield f"missing  {_LIST}"
        return
    manifest = json.loads(files[_LIST])
    listed = manifest["files"]
    yield from (f"missing  {name}" for name in sorted(listed) if name not in files)
    yield from (f"added    {name}" for name in sorted(files) if name not in {*listed, _LIST})
    for name in sorted(listed):
        if name in files and hashlib.sha256(files[name]).hexdigest() != listed[name]:
            yield f"changed  {name}"
    if files[_LIST] != list_text(manifest).encode() or manifest["format"] != 1:
        yield f"changed  {_LIST}"
    yield from (
        f"lost     {name}: was altered before it was handed out" for name in manifest["lost"]
    )
    damaged = manifest.get("damaged", [])  # packages of earlier versions do not list them
    yield from (
        f"lost     {_JOURNAL} entry {seq}: was altered before it was handed out" for seq in damaged
    )
    rows = read_rows(files)
    yield from check_chain(rows, manifest["chain"], noted_hash)
    yield from check_entries(rows, manifest["event_id"], damaged)
    yield from check_pictures(read_entries(rows, damaged), manifest["lost"], files)


def read_rows(files: dict[str, bytes]) -> list[dict[str, Any]]:
    """Read the rows of the journal."""
    return [json.loads(text) for text in files.get(_JOURNAL, b"").decode().splitlines()]


def read_entries(rows: list[dict[str, Any]], damaged: list[int]) -> list[dict[str, Any]]:
    """Read the event's own entries that were sound when handed out; of others' the rows hold the hash alone."""
    return [json.loads(row["line"]) for row in rows if "line" in row and row["seq"] not in damaged]


def check_chain(
    rows: list[dict[str, Any]], chain: dict[str, Any], noted_hash: str
) -> Iterator[str]:
    """Follow the chain of hashes through the journal."""
    link, seq, met = chain["begin"], chain["first"], set()
    for row in rows:
        if row["seq"] != seq:
            yield f"missing  {_JOURNAL} entry {seq}"
        link = hashlib.sha256(f"{link}{row['row_sha256']}".encode()).hexdigest()
        met.add(link)
        seq = row["seq"] + 1
    if link != chain["end"]:
        yield f"changed  {_JOURNAL}: its chain does not end as it was handed out"
    if noted_hash and noted_hash not in met:
        yield f"missing  the noted hash: entries {chain['first']} to {seq - 1} do not lead to it"


def check_entries(rows: list[dict[str, Any]], event_id: str, damaged: list[int]) -> Iterator[str]:
    """Hold each entry of the event against its hash and its place."""
    for row in rows:
        if "line" in row and row["seq"] not in damaged:
            entry = json.loads(row["line"])
            sha256 = hashlib.sha256(row["line"].encode("ascii", "backslashreplace")).hexdigest()
            # Of entries about no event only those that tell of the clock are shown.
            about = None if entry["kind"] == "clock_set" else event_id
            expected = (row["row_sha256"], row["seq"], about)
            if (sha256, entry["seq"], entry["event_id"]) != expected:
                yield f"changed  {_JOURNAL} entry {row['seq']}"


def check_pictures(
    entries: list[dict[str, Any]], lost: list[str], files: dict[str, bytes]
) -> Iterator[str]:
    """Hold each picture against the entry that its name stands for."""
    frames = [
        (datetime.fromisoformat(entry["body"]["captured_at"]), entry["seq"], entry["body"])
        for entry in entries
        if entry["kind"] == "frame"
    ]
    known = set()
    for number, (at, seq, body) in enumerate(sorted(frames, key=lambda f: f[:2]), start=1):
        is_png = body["media_type"] == "image/png"
        name = picture_name(number, at, body["frame_id"], is_png=is_png)
        known.add(name)
        if body["frame_id"] in lost:
            continue
        if name not in files:
            yield f"missing  {name}: {_JOURNAL} entry {seq} has it"
        elif hashlib.sha256(files[name]).hexdigest() != body["sha256"]:
            yield f"changed  {name}: {_JOURNAL} entry {seq} has another picture"
    for name in sorted(files):
        if name.startswith(_PICTURES) and name not in known:
            yield f"added    {name}: no entry of {_JOURNAL} has it"


def story(files: dict[str, bytes], damaged: list[int]) -> str:
    """Tell what the journal says of the event: where it was, when it opened, when it began."""
    rows = read_rows(files)
    entries = read_entries(rows, damaged)
    told = {entry["kind"]: entry["body"] for entry in entries}
    said = next(told[kind] for kind in ("opened", "closed", "updated") if kind in told)
    event, box = said["event"], said.get("camera", {}).get("box", "unknown")
    began = f"began {told['origin']['captured_at']}" if "origin" in told else "origin not traced"
    clock = "".join(
        f"entry {entry['seq']}: the box's clock was set from {entry['body']['was_at']} to {entry['body']['set_at']};"
        f" times it took before are {entry['body']['offset_s']:+.1f} s from those after\n"
        for entry in entries
        if entry["kind"] == "clock_set"
    )
    return (
        f"the journal says: camera {event['camera']} of box {box}, opened {event['opened_at']}, {began};"
        f" {len(entries)} entries, {len(rows) - len(entries)} more as hashes only\n{clock}"
    )


def main() -> int:
    """Check the place that was named, else the folder of this file."""
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    noted_hash = sys.argv[2] if len(sys.argv) > 2 else ""
    try:
        files, wrong = read_files(place)
    except (OSError, zipfile.BadZipFile) as err:
        sys.stderr.write(f"cannot check {place}: {err!r}\n")
        return 2
    end, said = "unknown", ""
    try:
        wrong.extend(check(files, noted_hash))
        if _LIST in files:
            manifest = json.loads(files[_LIST])
            end, said = manifest["chain"]["end"], story(files, manifest.get("damaged", []))
    except Exception as err:  # altered text may have any shape
        wrong.append(f"changed  {_LIST} or {_JOURNAL}: cannot be read, {err!r}")
    sys.stdout.writelines(f"{line}\n" for line in wrong)
    verdict = "ALTERED" if wrong else "unaltered"
    sys.stdout.write(f"{verdict}: {len(files)} files, chain ends with {end}\n{said}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Says whether an export of evidence is as it was handed out, or names what is not. Ring: a program of its own.

It travels inside every export and needs nothing but Python 3.8 or newer:

    python3 verify.py                   in the unpacked folder
    python3 verify.py event.zip         the packed file
    python3 verify.py event.zip HASH    also compares the chain's last hash with one that was noted elsewhere

It ends with 0 when everything is unaltered, with 1 when something is not, with 2 when it cannot look.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

_LIST = "manifest.json"
_JOURNAL = "journal.jsonl"


def read_files(place: Path) -> dict[str, bytes]:
    """Read every file of a folder or a zip by its name."""
    if place.is_dir():
        paths = [path for path in place.rglob("*") if path.is_file()]
        return {path.relative_to(place).as_posix(): path.read_bytes() for path in paths}
    with zipfile.ZipFile(place) as packed:
        return {name: packed.read(name) for name in packed.namelist() if not name.endswith("/")}


def check(files: dict[str, bytes], noted_head: str = "") -> list[str]:
    """Name everything that is not as it was handed out."""
    if _LIST not in files:
        return [f"missing  {_LIST}"]
    manifest = json.loads(files[_LIST])
    listed = manifest["files"]
    wrong = [f"missing  {name}" for name in sorted(listed) if name not in files]
    wrong += [f"added    {name}" for name in sorted(files) if name not in listed and name != _LIST]
    for name in sorted(listed):
        if name in files and hashlib.sha256(files[name]).hexdigest() != listed[name]:
            wrong.append(f"changed  {name}")
    wrong += [f"lost     {name}: was altered before it was handed out" for name in manifest["lost"]]
    wrong += check_chain(files.get(_JOURNAL, b"").decode(), manifest, files)
    if noted_head and noted_head != manifest["chain"]["end"]:
        wrong.append(
            f"changed  the chain ends with {manifest['chain']['end']}, noted was {noted_head}"
        )
    return wrong


def check_chain(journal: str, manifest: dict[str, Any], files: dict[str, bytes]) -> list[str]:
    """Follow the chain of hashes through the journal, and hold each picture against its entry."""
    wrong = []
    chain, seq = manifest["chain"]["begin"], manifest["chain"]["first"]
    hashes = {hashlib.sha256(content).hexdigest() for content in files.values()}
    for text in journal.splitlines():
        row = json.loads(text)
        row_sha256 = row["row_sha256"]
        if row["seq"] != seq:
            wrong.append(f"missing  {_JOURNAL} entry {seq}")
        line = row.get("line")
        if line is not None:
            if hashlib.sha256(line.encode("ascii", "backslashreplace")).hexdigest() != row_sha256:
                wrong.append(f"changed  {_JOURNAL} entry {row['seq']}")
            entry = json.loads(line)
            is_lost = entry["body"].get("frame_id") in manifest["lost"]
            if entry["kind"] == "frame" and entry["body"]["sha256"] not in hashes and not is_lost:
                wrong.append(f"missing  the picture of {_JOURNAL} entry {row['seq']}")
        chain = hashlib.sha256(f"{chain}{row_sha256}".encode()).hexdigest()
        seq = row["seq"] + 1
    if chain != manifest["chain"]["end"]:
        wrong.append(f"changed  {_JOURNAL}: its chain does not end as it was handed out")
    return wrong


def main() -> int:
    """Check the place that was named, else the folder of this file."""
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    noted_head = sys.argv[2] if len(sys.argv) > 2 else ""
    try:
        files = read_files(place)
        wrong = check(files, noted_head)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as err:
        sys.stderr.write(f"cannot check {place}: {err!r}\n")
        return 2
    sys.stdout.writelines(f"{line}\n" for line in wrong)
    end = json.loads(files[_LIST])["chain"]["end"] if _LIST in files else "unknown"
    sys.stdout.write(
        f"{'ALTERED' if wrong else 'unaltered'}: {len(files)} files, chain ends with {end}\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m bench.soak [--days 90]`: months of a box in minutes, to find what grows, drifts or fills.

A real edge service with tiny models and eight posted cameras, on a clock that leaps (`bench.soak_box`): six events a
day, a cloud that is away for hours, a budget that ends within day and month, upkeep, heads, labels, a backup at each
stop; it is stopped once and killed once a week, and lives the last four weeks in one piece. Alerts go to a webhook of
this process. Prints what each life had come to at its end, and the numbers that must hold; exit 1 when one does not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.numbers import Number, print_table
from edge.record.archive import Archive
from edge.record.verification import verify
from tests.helpers.stand_in_clouds import Exchange, good_answer, stand_in_cloud
from tests.helpers.tiny_models import write_classifier, write_detector

_BEGINS_AT = datetime(2026, 10, 20, tzinfo=UTC)  # 90 days end in another year
_LAST_LIFE = 28  # days
_SHARE = 1.2  # more than this of what was there before is growth
Sample = dict[str, Any]


def lives(days: int) -> Iterator[tuple[int, str]]:
    """Part the days: a life that is stopped and one that is killed each week, and a long one at the end."""
    for _ in range(0, days - _LAST_LIFE, 7):
        yield 3, "stopped"
        yield 4, "killed"
    yield min(days, _LAST_LIFE), "stopped"


def soak(days: int, folder: Path) -> list[Sample]:
    """Let a box live in a folder; gives what it had come to in each week and at the end of each life."""
    opened: dict[str, datetime] = {}

    def cloud(exchange: Exchange) -> None:
        if not (folder / "away").exists():
            exchange.reply(200, json.dumps(good_answer(boxes=((0, 0, 160, 160),))).encode())

    def webhook(exchange: Exchange) -> None:
        alert = json.loads(exchange.body)["data"]
        opened.setdefault(alert["event_id"], datetime.fromisoformat(alert["opened_at"]))
        exchange.reply(204)

    write_classifier(folder / "models")
    write_detector(folder / "models")
    samples: list[Sample] = []
    now_at = _BEGINS_AT
    with stand_in_cloud(cloud) as asked, stand_in_cloud(webhook) as told:
        for length, end in lives(days):
            command = [sys.executable, "-m", "bench.soak_box", str(folder), asked.url, told.url]
            command += [now_at.isoformat(), str(length), end]
            life = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            if (life.returncode == 0) != (end == "stopped"):
                raise RuntimeError(f"the life from {now_at} on ended with {life.returncode}")
            before, now_at = (now_at - _BEGINS_AT).days, now_at + timedelta(days=length)
            told.calls.clear()
            wanted = {e for e, at in opened.items() if at > now_at - timedelta(days=30)}
            for line in map(json.loads, life.stdout.splitlines()):
                samples.append(
                    {**line, "day": before + line["day"], **on_disk(folder, wanted, now_at)}
                )
                print({k: v for k, v in samples[-1].items() if k != "grown"}, flush=True)
    return samples


def on_disk(folder: Path, wanted: set[str], now_at: datetime) -> Sample:
    """Measure the folders, and hold what is kept against the events that the webhook was told of."""
    paths = list((folder / "state").rglob("*"))
    with contextlib.closing(Archive(folder / "state" / "evidence")) as archive:
        with archive.snapshot() as db:
            kept: dict[str, str] = dict(
                db.execute("SELECT event_id, kept_at FROM event").fetchall()
            )
        oldest_at = datetime.fromisoformat(min(kept.values()))
        return {
            "entries": len(paths),
            "log_mb": sum(p.stat().st_size for p in (folder / "log").iterdir()) / 1e6,
            "databases": {p.name: p.stat().st_size for p in paths if p.suffix == ".sqlite3"},
            "events": len(kept),
            "lost": len(wanted - set(kept)),
            "oldest_days": (now_at - oldest_at) / timedelta(days=1),
            "findings": len(verify(archive).findings),
        }


def judge(samples: list[Sample]) -> list[Number]:
    """Hold the end against a week or more before, within one life, and against the life before the last."""
    last, early = samples[-1], samples[-min(4, len(samples))]
    then = next((s for s in reversed(samples) if s["day"] <= last["day"] - _LAST_LIFE), early)
    usual = {n: max(s["grown"].get(n, 0) for s in samples[:-1]) for n in last["grown"]}
    grown = [n for n, count in last["grown"].items() if count > _SHARE * usual[n] + 8]
    for name in grown:
        print(f"grew: {name}: {[s['grown'].get(name, 0) for s in samples[-4:]]}")
    sizes = [sum(s["databases"].values()) for s in (then, last)]
    limits = {
        **{n: (max(s[n] for s in samples), 0) for n in ("lost", "findings")},
        "oldest_days": (max(s["oldest_days"] for s in samples), 31),
        "start_s": (max(s["start_s"] for s in samples), 20),
        "collections_that_grew": (len(grown), 0),
        "rss_mb_grown": (last["rss_mb"] - early["rss_mb"], 10),
        **{f"{n}_grown": (last[n] - early[n], 4) for n in ("descriptors", "threads", "metrics")},
        "databases_ratio": (sizes[1] / sizes[0], _SHARE),
        "entries_ratio": (last["entries"] / then["entries"], _SHARE),
        "log_mb": (last["log_mb"], 12.5),
    }
    return [Number(name=f"soak.{n}", value=v, unit="", accept=a) for n, (v, a) in limits.items()]


def main() -> None:
    """Soak and tell."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument(
        "--days", type=int, default=90, help="two months or more, or all of it is growth"
    )
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        numbers = judge(soak(parser.parse_args().days, Path(folder)))
    print_table(numbers)
    sys.exit(not all(number.is_ok for number in numbers))


if __name__ == "__main__":
    main()

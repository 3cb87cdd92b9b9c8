"""A tour of about two minutes, with no camera, card or data: `make demo`.

Both services start, a rendered fire breaks out, the network is cut and comes back, the box is killed in between. At the
end stands a page that says what was held and what was not; the exit status is 0 only if all of it was.
"""

from __future__ import annotations

import contextlib
import html
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

from outside import Network, Phone
from tour import ROOT, Tour, stop, stopped_at_end

_IGNITES_S = 25


def main() -> int:
    """Take the tour."""
    folder = ROOT / "run" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tour, phone = Tour(folder), Phone()
    network, phone_line = Network(tour.cloud_port), Network(phone.port)
    tour.config.write_text(
        f'[cameras.yard]\nsource = "sim:?ignite_at_s={_IGNITES_S}"\n'
        '[cloud]\ntimeout_s = 1.0\n[policy]\ndaily_limit = "2.00"\n'
        f'[alerts.sinks.phone]\nkind = "webhook"\nurl = "http://127.0.0.1:{phone_line.port}/"\n'
    )
    with contextlib.ExitStack() as stack:
        tour.say(
            "Both services start. There is no camera: a yard is rendered, and will catch fire."
        )
        stack.enter_context(
            stopped_at_end(
                tour.start(
                    "cloud", "--port", str(tour.cloud_port), "--state", str(folder / "cloud")
                )
            )
        )
        edge = [tour.start_edge(network)]
        stack.callback(lambda: stop(edge[0]))
        event = see_the_fire(tour, phone)
        lose_the_network(tour, [network, phone_line], edge, event)
        mend_the_network(tour, [network, phone_line], phone)
        hand_out_the_evidence(tour, event)
        page = write_page(tour, event)
    tour.say(f"The page of this tour: {page}")
    is_all_held = all(is_held for is_held, _ in tour.held)
    tour.say(
        f"{sum(h for h, _ in tour.held)} of {len(tour.held)} held."
        + ("" if is_all_held else " Logs are beside the page.")
    )
    return 0 if is_all_held else 1


def see_the_fire(tour: Tour, phone: Phone) -> dict[str, Any]:
    """From calm to an event with its origin, and a message."""
    is_up = tour.until(lambda: tour.get("/readyz")["status"] in ("ready", "degraded"), 60)
    tour.check(is_up, "both services are up")
    tour.say(
        f"The console is at {tour.url}/ while the tour lasts. All is calm for some {_IGNITES_S} s."
    )
    tour.check(not tour.get("/events")["events"], "no event while nothing burns")
    is_open = tour.until(lambda: bool(tour.get("/events")["events"]), 90)
    tour.check(is_open, "the fire became an event")
    if not is_open:
        return {}
    tour.check(tour.until(lambda: bool(phone.told), 10), "the phone was told")
    tour.say("The detector walks back through the minute before, to the first picture of the fire.")
    has_origin = tour.until(lambda: tour.event()["origin"] is not None, 60)
    if not has_origin:
        tour.check(False, "its origin is known")
        return {}
    event, origin = tour.event(), tour.event()["origin"]
    opened_at, began_at = map(datetime.fromisoformat, (event["opened_at"], origin["captured_at"]))
    early_s = (opened_at - began_at).total_seconds()
    tour.check(
        early_s >= 0,
        f"its origin is known: {early_s:.1f} s before the alarm, at {origin['box_xyxy']}",
    )
    tour.until(lambda: tour.event()["grade"] == "confirmed", 20)
    event = tour.event()
    tour.check(event["grade"] == "confirmed", "the cloud confirmed it")
    return event


def lose_the_network(
    tour: Tour, cables: list[Network], edge: list[subprocess.Popen[bytes]], event: dict[str, Any]
) -> None:
    """Cut the cables, ask on, kill the box, and look whether anything is lost."""
    for cable in cables:
        cable.cut()
    tour.say("The network is cut. The box goes on alone.")
    unsure = ROOT / "run" / "demo" / "unsure.jpg"
    tour.edge_command("sample", str(unsure), "--at", "33")
    answers = [tour.post(unsure.read_bytes()) for _ in range(12)]
    tour.check(
        all(a["err_no"] == 0 for a in answers), "every picture is answered without the cloud"
    )
    reasons = sorted({a["decision"]["reason"] for a in answers})
    tour.say(f"It says why: {', '.join(reasons)}.")
    if event:
        tour.acknowledge(event["event_id"])
        is_waiting = tour.until(lambda: tour.waiting() > 0, 10)
        tour.check(is_waiting, "a message for the phone waits on disk")
    before = tour.get("/policy")
    count = len(tour.get("/events")["events"])
    tour.say("The box is killed (kill -9) and started again, still without a network.")
    os.killpg(edge[0].pid, signal.SIGKILL)
    edge[0].wait()
    began_s = time.monotonic()
    edge[0] = tour.start_edge(cables[0])
    is_back = tour.until(lambda: tour.get("/readyz")["status"] in ("ready", "degraded"), 30)
    tour.check(is_back, f"it is back after {time.monotonic() - began_s:.0f} s")
    tour.check(len(tour.get("/events")["events"]) >= count, "every event is still there")
    after = tour.get("/policy")
    tour.check(after["spent"] >= before["spent"], "no money was forgotten")
    is_told = tour.until(
        lambda: any(t["kind"] == "restart" for t in tour.get("/troubles")["troubles"]), 30
    )
    tour.check(is_told, "it tells that it did not stop cleanly")


def mend_the_network(tour: Tour, cables: list[Network], phone: Phone) -> None:
    """Put the cables back, and wait until the cloud is used again by itself and every message is out."""
    told = len(phone.told)
    for cable in cables:
        cable.mend()
    tour.say("The network is back. Nobody restarts anything.")
    unsure = (ROOT / "run" / "demo" / "unsure.jpg").read_bytes()
    is_used = tour.until(lambda: tour.post(unsure)["source"] == "cloud", 60)
    tour.check(is_used, "the cloud is asked again")
    is_out = tour.until(lambda: len(phone.told) > told and tour.waiting() == 0, 90)
    tour.check(is_out, "the message that waited is delivered; none is left")
    policy = tour.get("/policy")
    tour.check(
        policy["spent"] <= policy["daily_limit"],
        f"{policy['spent']:.2f} of {policy['daily_limit']:.2f} spent",
    )


def hand_out_the_evidence(tour: Tour, event: dict[str, Any]) -> None:
    """Verify the journal, export the event, and check the export with its own checker."""
    verified = tour.edge_command(
        "evidence", "verify", "--config", str(tour.config), "--state", str(tour.state)
    )
    tour.check(verified.returncode == 0, "the evidence is unaltered")
    if not event:
        return
    bundle = tour.folder / "event.zip"
    with urllib.request.urlopen(
        f"{tour.url}/events/{event['event_id']}/export", timeout=60
    ) as answer:
        bundle.write_bytes(answer.read())
    with tempfile.TemporaryDirectory() as unpacked:
        zipfile.ZipFile(bundle).extractall(unpacked)
        checker = next(Path(unpacked).rglob("verify.py"))
        checked = subprocess.run(
            [sys.executable, "-I", checker], cwd=checker.parent, capture_output=True, check=False
        )
    tour.check(
        checked.returncode == 0, f"the export ({bundle.stat().st_size / 1e6:.1f} MB) proves itself"
    )


def write_page(tour: Tour, event: dict[str, Any]) -> Path:
    """Write what the tour showed as one page."""
    rows = "".join(
        f"<tr><td>{'✓ held' if is_held else '✗ not held'}</td><td>{html.escape(text)}</td></tr>"
        for is_held, text in tour.held
    )
    picture = ""
    if event:
        with contextlib.suppress(urllib.error.URLError):
            with urllib.request.urlopen(
                tour.url + event["origin"]["picture"], timeout=10
            ) as answer:
                (tour.folder / "origin.jpg").write_bytes(answer.read())
            began_at = datetime.fromisoformat(event["origin"]["captured_at"])
            x1, y1, x2, y2 = event["origin"]["box_xyxy"] or (0, 0, 0, 0)
            picture = (
                f"<p>The fire began at {began_at:%H:%M:%S} (UTC), here:</p><svg viewBox='0 0 1280 720'>"
                f"<image href='origin.jpg' width='1280' height='720'/><rect x='{x1}' y='{y1}' width='{x2 - x1}' "
                f"height='{y2 - y1}' fill='none' stroke='#ff4d2e' stroke-width='4'/></svg>"
            )
    page = tour.folder / "summary.html"
    page.write_text(
        "<!doctype html><meta charset=utf-8><title>Emberlink: a tour</title><style>body{font:16px/1.5 system-ui;"
        "max-width:60rem;margin:3rem auto;padding:0 1rem}svg{max-width:100%}td{padding:.2rem 1rem .2rem 0}</style>"
        f"<h1>What was held</h1><table>{rows}</table>{picture}<p>The event as a bundle with its own checker: "
        "<a href='event.zip'>event.zip</a>.</p>"
        "<p>Emberlink supplements listed fire alarms. It does not replace one.</p>",
        encoding="utf-8",
    )
    return page


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("The tour was interrupted; both services have stopped.")
        sys.exit(130)

"""`make screenshots`: takes the README's pictures of a pair that runs, with a fire that it found itself. Ring: rim."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from shared.model.manifest import shipped_models
from tests.helpers.browser import PHONE_PX, Browser, chromium, find_chromium
from tests.helpers.services import Running, running_cloud, running_edge

_FOLDER = Path(__file__).with_name("screenshots")
_TITLES = ("Lounge", "Store 2", "Workshop", "Canteen kitchen", "Exhibition hall", "Gate")
_PATIENCE_S = 300.0
_GROWN_S = 20.0  # after the origin was found: a fire of which there is something to see


def main() -> None:
    """Start both services, wait for the fire, take the pictures."""
    if find_chromium() is None:
        sys.exit("docs.screenshots needs Debian's package chromium")
    folder, models = Path(tempfile.mkdtemp(prefix="emberlink-")), shipped_models()
    settings: dict[str, Any] = {
        "cameras": _cameras(),
        "console": {"site": "North depot"},
        "policy": {"name": "price", "daily_limit": "10.00"},
        "model": {"variant": None},
    }
    with (
        running_cloud(folder / "cloud", models) as cloud,
        running_edge(folder / "edge", models, cloud.url, **settings) as edge,
        chromium() as browser,
    ):
        event_id = _burning(edge)
        time.sleep(_GROWN_S)
        _take(browser, edge.url + "/", "now.jpg")
        _take(browser, f"{edge.url}/ui/events/{event_id}", "event.jpg", theme="light")
        _take(browser, edge.url + "/", "phone.jpg", width_px=PHONE_PX, language="zh")


def _cameras() -> dict[str, Any]:
    """Give six rendered cameras, of which the first burns, and one that cannot be reached."""
    small = "width_px=960&height_px=540"
    cameras: dict[str, Any] = {
        f"cam{n}": {
            "source": f"sim:?seed={n + 1}&ignite_at_s={30 if n == 0 else 1_000_000}&{small}",
            "title": title,
            "fps": 1,
        }
        for n, title in enumerate(_TITLES)
    }
    return cameras | {"yard": {"source": "rtsp://127.0.0.1:9/none", "title": "Loading yard"}}


def _burning(edge: Running) -> str:
    """Wait until the fire was found, confirmed and traced; gives the event."""
    ends_mono_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < ends_mono_s:
        for event in edge.get("/events").json()["result"]["events"]:
            if event["origin"] is not None and event["grade"] == "confirmed":
                return str(event["event_id"])
        time.sleep(1.0)
    sys.exit(f"no fire was found within {_PATIENCE_S:g} s")


def _take(browser: Browser, url: str, name: str, **look: Any) -> None:
    with browser.sheet("", **look) as sheet:
        sheet.page.goto(url, timeout=120_000)
        sheet.page.wait_for_timeout(3000)
        path = _FOLDER / name
        sheet.page.screenshot(path=path, type="jpeg", quality=80, timeout=120_000)
        print(path, path.stat().st_size // 1000, "kB")  # noqa: T201 # tells the person who started it


if __name__ == "__main__":
    main()

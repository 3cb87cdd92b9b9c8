"""`python -m bench.pages [--times 7]`: how soon the edge's pages can be used in a real browser, and what they transfer.

The box runs eight rendered cameras and answers Chromium on the same machine, as on a box with a screen. Each load has
an empty cache. A page can be used when its document is parsed and painted and its scripts have run; the wall when the
pictures of all cameras stand, too. Other load on the machine only adds to a time, so the best load of each page counts.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from bench.numbers import RESULTS, Number, print_table, write_results
from bench.processes import Setting, edge_service
from shared.model.manifest import shipped_models
from tests.helpers.browser import Browser, chromium, find_chromium

_CAMERAS = 8
_WARM_UP_S = 8.0
_PAGES = {
    "now": "/",
    "events": "/ui/events",
    "budget": "/ui/budget",
    "statistics": "/ui/statistics",
    "health": "/ui/health",
    "settings": "/ui/settings",
    "try": "/ui/try",
}
_TIMES = """() => {
  const page = performance.getEntriesByType('navigation')[0];
  const painted = performance.getEntriesByName('first-contentful-paint')[0];
  return Math.max(page.domContentLoadedEventEnd, painted ? painted.startTime : 0);
}"""
_WALL = """() => {
  const shown = [...document.querySelectorAll('.tile img')];
  return shown.length === %d && shown.every(image => image.complete && image.naturalWidth > 0);
}"""


def main() -> None:
    """Measure, print, write; exit 1 when a number is not accepted."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--times", type=int, default=7, help="loads of each page (7)")
    wanted = parser.parse_args()
    if find_chromium() is None:
        sys.exit("bench.pages needs Debian's package chromium")
    setting = Setting(models=shipped_models(), picture=Path(), is_quick=False)
    sources = [
        f"cam{n}=sim:?seed={n}&ignite_at_s=1000000&width_px=640&height_px=360"
        for n in range(_CAMERAS)
    ]
    flags = [part for source in sources for part in ("--source", source)]
    with edge_service(setting, *flags) as edge, chromium() as browser:
        time.sleep(_WARM_UP_S)
        numbers = _measure(browser, f"http://127.0.0.1:{edge.port}", wanted.times)
    print_table(numbers)
    write_results(numbers)
    print(f"written to {RESULTS}")
    sys.exit(not all(number.is_ok for number in numbers))


def _measure(browser: Browser, base_url: str, times: int) -> list[Number]:
    usable_ms = {name: float("inf") for name in _PAGES}
    loaded_kb = dict.fromkeys(_PAGES, 0.0)
    for _ in range(times):
        for name, path in _PAGES.items():
            taken_ms, size_bytes = _load(browser, base_url, path)
            usable_ms[name] = min(usable_ms[name], taken_ms)
            loaded_kb[name] = max(loaded_kb[name], size_bytes / 1000)
    slowest, heaviest = max(usable_ms, key=usable_ms.__getitem__), max(loaded_kb.values())
    print({name: round(ms) for name, ms in usable_ms.items()}, f"slowest: {slowest}")
    others = [ms for name, ms in usable_ms.items() if name != "now"]
    return [
        Number(name="pages_wall_usable", value=usable_ms["now"], unit="ms", accept=1000.0),
        Number(name="pages_slowest_usable", value=max(others), unit="ms", accept=1000.0),
        Number(name="pages_heaviest_load", value=heaviest, unit="kB", accept=150.0),
    ]


def _load(browser: Browser, base_url: str, path: str) -> tuple[float, int]:
    """Open a page with an empty cache; gives milliseconds until it can be used, and the bytes without pictures."""
    with browser.sheet(base_url) as sheet:
        sheet.page.goto(base_url + path, wait_until="domcontentloaded", timeout=60_000)
        if path == "/":
            sheet.page.wait_for_function(_WALL % _CAMERAS, polling=10, timeout=60_000)
        shown_ms = float(sheet.page.evaluate("performance.now()")) if path == "/" else 0.0
        sheet.page.wait_for_load_state("load", timeout=60_000)
        return max(shown_ms, float(sheet.page.evaluate(_TIMES))), sheet.loaded_bytes()


if __name__ == "__main__":
    main()

"""`python -m bench [--only NAME] [--quick] [--models DIR]`: measure, print the table, write `results.json`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import deadlines, memory, model_cost, speed
from bench.numbers import RESULTS, Number, print_table, write_results
from bench.picture import posted_jpeg
from bench.processes import Setting
from shared.model.manifest import shipped_models

_MEASUREMENTS: dict[str, Callable[[Setting], list[Number]]] = {
    "model": model_cost.measure,
    "speed": speed.measure,
    "memory": memory.measure,
    "deadline": deadlines.measure,
}


def main() -> None:
    """Run the measurements; exit 1 when a number is not accepted."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", choices=_MEASUREMENTS, action="append", help="a part; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="rough and brief; nothing is written")
    parser.add_argument(
        "--models", type=Path, help="other artifacts than the shipped ones; nothing is written"
    )
    wanted = parser.parse_args()
    with tempfile.NamedTemporaryFile(suffix=".jpg") as picture:
        picture.write(posted_jpeg())
        picture.flush()
        setting = Setting(
            models=wanted.models or shipped_models(),
            picture=Path(picture.name),
            is_quick=wanted.quick,
        )
        numbers = []
        for name in wanted.only or _MEASUREMENTS:
            started_s = time.perf_counter()
            numbers += _MEASUREMENTS[name](setting)
            print(f"{name} took {time.perf_counter() - started_s:.0f} s", file=sys.stderr)
    print_table(numbers)
    if not wanted.quick and not wanted.models:
        write_results(numbers)
        print(f"written to {RESULTS}")
    sys.exit(not all(number.is_ok for number in numbers))


if __name__ == "__main__":
    main()

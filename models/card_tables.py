"""Tables of a card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = tuple[str, ...]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def share_text(share: Mapping[str, Any]) -> str:
    """Write a share and of how many it is."""
    return f"{share['share']:.1%} of {share['of']}" if share["of"] else "none there"


def delay_text(delay_s: float | None) -> str:
    """Write the seconds to a first verdict."""
    return "never" if delay_s is None else f"{delay_s:.1f} s"


def speed_rows(metrics: Mapping[str, Any], variants: Sequence[str]) -> list[Row]:
    """Write the milliseconds of each canvas."""
    sizes = metrics[variants[0]]["latency_ms"]
    return [
        (
            f"ms of CPU at {size}, one core with VNNI",
            *(f"{metrics[v]['latency_ms'][size]:.1f}" for v in variants),
        )
        for size in sizes
    ]


def clip_lines(clips: Mapping[str, Any]) -> tuple[list[Row], str]:
    """Write the rows of the clips with fire, and a sentence on the time without."""
    rows: list[Row] = [(name, delay_text(delay_s)) for name, delay_s in clips["delay_s"].items()]
    per_minute = clips["false_per_minute"]
    quiet = (
        "no clip without fire" if per_minute is None else f"{per_minute:g} false verdicts a minute"
    )
    return rows, f"{quiet} in {clips['quiet_s']:g} s without fire"


def measured_variants(manifest: Mapping[str, Any]) -> list[str]:
    """List the variants with measures of their own; the half-precision file has its distance from fp32 only."""
    return [v for v in manifest["files"] if "latency_ms" in manifest["metrics"][v]]

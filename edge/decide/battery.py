"""How full the box's battery is. Ring: adapter (Linux power supply class)."""

from __future__ import annotations

from pathlib import Path

from shared.clock import Clock

_READ_EVERY_S = 30.0  # a battery does not change faster; reading costs a few file opens


class Battery:
    """Reads `/sys/class/power_supply`; a box on mains or without a battery counts as full."""

    def __init__(self, clock: Clock, folder: Path = Path("/sys/class/power_supply")) -> None:
        """Keep where to look."""
        self._clock = clock
        self._folder = folder
        self._read_mono_s = float("-inf")
        self._level = 1.0

    def level(self) -> float:
        """Tell the charge, 0…1, at most half a minute old; 1 while mains power is there."""
        now_mono_s = self._clock.mono_s()
        if now_mono_s - self._read_mono_s >= _READ_EVERY_S:
            self._read_mono_s = now_mono_s
            self._level = self._read()
        return self._level

    def _read(self) -> float:
        levels = []
        for supply in sorted(self._folder.glob("*")):
            if _text(supply / "scope") == "Device":  # of a mouse or a headset, not of the box
                continue
            kind = _text(supply / "type")
            if kind in ("Mains", "USB") and _text(supply / "online") == "1":
                return 1.0
            capacity = _text(supply / "capacity")
            if kind == "Battery" and capacity.isdigit():
                levels.append(min(100, int(capacity)) / 100)
        return min(levels, default=1.0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""

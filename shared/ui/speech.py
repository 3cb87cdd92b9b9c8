"""Say numbers, times and sentences in the language and zone of whoever looks. Ring: rim, pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from shared.ui.words import Words

_CODE = re.compile(r"`([^`]+)`")
_NARROW = "\N{NO-BREAK SPACE}"
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_WEEKDAYS = (
    ("Monday", "星期一"),
    ("Tuesday", "星期二"),
    ("Wednesday", "星期三"),
    ("Thursday", "星期四"),
    ("Friday", "星期五"),
    ("Saturday", "星期六"),
    ("Sunday", "星期日"),
)


def with_code(text: str) -> Markup:
    """Show what stands between backticks as code; the rest is text, unless it is markup already."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 # escaped, and a constant around it


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """The words, the language (`en` or `zh`), the site's zone, and the moment at which the page is made."""

    words: Words
    language: str
    zone: ZoneInfo
    now: datetime

    @property
    def is_chinese(self) -> bool:
        """Tell whether this is Chinese."""
        return self.language == "zh"

    def t(self, key: str, **values: object) -> Markup:
        """Say a text of the catalogue."""
        return self.words.say(key, self.language, **values)

    def known(self, key: str, otherwise: str, **values: object) -> Markup:
        """Say a text where the catalogue has it, else what is given, marked as the English that it is."""
        if self.words.has(key):
            return self.t(key, **values)
        shown = Markup("{}").format(otherwise)
        return Markup('<span lang="en">{}</span>').format(shown) if self.is_chinese else shown

    def sentences(self, parts: Iterable[Markup]) -> Markup:
        """Put sentences behind each other; Chinese has no space between them."""
        return Markup("" if self.is_chinese else " ").join(parts)  # noqa: S704 # a constant

    def percent(self, share: float) -> str:
        """Say 0…1 as whole per cent; what is not quite all or nothing is not called so."""
        value = round(100 * share)
        if value == 100 and share < 0.999:
            value = 99
        return f"{value}{_NARROW}%"

    def fine_percent(self, share: float) -> str:
        """Say a small share with a decimal."""
        return f"{100 * share:.1f}{_NARROW}%"

    def number(self, value: float, decimals: int = 0) -> str:
        """Say a number; English groups thousands."""
        return f"{value:.{decimals}f}" if self.is_chinese else f"{value:,.{decimals}f}"

    def money(self, micros: float) -> str:
        """Say millionths of the operator's currency."""
        return self.number(micros / 1_000_000, 2)

    def milliseconds(self, seconds: float) -> str:
        """Say a short time."""
        ms = 1000 * seconds
        return f"{ms:.0f}{_NARROW}ms" if ms >= 99.5 else f"{ms:.1f}{_NARROW}ms"

    def size(self, size_bytes: float) -> str:
        """Say an amount of data in decimal units."""
        value, unit = float(size_bytes), "B"
        for larger in ("kB", "MB", "GB", "TB"):
            if value < 1000:
                break
            value, unit = value / 1000, larger
        decimals = 0 if unit == "B" or value >= 100 else 1
        return f"{value:.{decimals}f}{_NARROW}{unit}"

    def age(self, seconds: float) -> str:
        """Say how old something is, tenths below ten seconds."""
        if seconds < 9.95:
            return f"{max(0.0, seconds):.1f}{_NARROW}s"
        return str(self.duration(seconds))

    def duration(self, seconds: float) -> Markup:
        """Say a length of time in its two largest units."""
        whole = max(0, round(seconds))
        days, rest = divmod(whole, 86_400)
        hours, rest = divmod(rest, 3600)
        minutes, left = divmod(rest, 60)
        parts = (("day", days), ("hour", hours), ("minute", minutes), ("second", left))
        first = next((n for n, (_, value) in enumerate(parts) if value), 3)
        shown = [p for p in parts[first : first + 2] if p[1] or p is parts[first]]
        return Markup(" ").join(self.t(f"unit.{name}", n=value) for name, value in shown)

    def clock(self, at: datetime, *, tenths: bool = False) -> Markup:
        """Say a time of day, local, with UTC beside it for who hovers; with its date when that is not today."""
        local, utc = at.astimezone(self.zone), at.astimezone(UTC)
        text = f"{local:%H:%M:%S}" + (f".{local.microsecond // 100_000}" if tenths else "")
        return self._time(at, text, f"{utc:%H:%M:%S} UTC")

    def offset(self, at: datetime) -> str:
        """Say how far the site's clocks are from UTC at a moment."""
        offset = f"{at.astimezone(self.zone):%z}"
        return "UTC" if offset == "+0000" else f"UTC{offset[:3]}:{offset[3:5]}"

    def moment(self, at: datetime) -> Markup:
        """Say when: the time today, else day and time."""
        local, utc = at.astimezone(self.zone), at.astimezone(UTC)
        day = self.day(local.date())
        is_today = local.date() == self.now.astimezone(self.zone).date()
        text = f"{local:%H:%M:%S}" if is_today else f"{day} {local:%H:%M}"
        return self._time(at, text, f"{utc:%Y-%m-%d %H:%M:%S} UTC")

    def day(self, day: date, *, with_year: bool = False) -> str:
        """Say a date without its year unless asked."""
        if self.is_chinese:
            return (f"{day.year} 年 " if with_year else "") + f"{day.month} 月 {day.day} 日"
        return f"{day.day} {_MONTHS[day.month - 1]}" + (f" {day.year}" if with_year else "")

    def day_heading(self, day: date) -> Markup:
        """Say a date as people do: today, yesterday, or the weekday with it."""
        today = self.now.astimezone(self.zone).date()
        if day == today:
            return self.t("time.today", day=self.day(day))
        if day == today - timedelta(days=1):
            return self.t("time.yesterday", day=self.day(day))
        weekday = _WEEKDAYS[day.weekday()][1 if self.is_chinese else 0]
        return self.t("time.weekday", day=self.day(day), weekday=weekday)

    def _time(self, at: datetime, text: str, title: str) -> Markup:
        local = at.astimezone(self.zone)
        stamp = local.isoformat(timespec="milliseconds")
        return Markup('<time datetime="{}" title="{}">{}</time>').format(stamp, title, text)

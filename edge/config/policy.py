"""Settings of the decision: which frames go to the cloud, and what that may cost. Ring: rim."""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import tzlocal
from pydantic import Field, field_validator, model_validator

from edge.decide.policies import PolicyName
from shared.config import Section
from shared.types import MICROS


class PolicySection(Section):
    """Which frames go to the cloud, and what that may cost."""

    name: PolicyName = Field(
        PolicyName.PRICE, description="price, fixed, sliding_window, always or edge_only."
    )
    threshold: float = Field(
        0.7, gt=0.5, le=1.0, description="fixed: frames of lower confidence are forwarded."
    )
    daily_limit: Decimal = Field(
        Decimal("10.00"),
        ge=0,
        le=1_000_000,
        decimal_places=6,
        description="Money a day; 0 keeps everything at the edge.",
    )
    monthly_limit: Decimal | None = Field(
        None,
        ge=0,
        le=100_000_000,
        decimal_places=6,
        description="Money a calendar month; no cap when unset.",
    )
    cost_per_call: Decimal = Field(
        Decimal("0.02"), ge=0, le=1_000, decimal_places=6, description="What one call is charged."
    )
    timezone: str = Field(
        "local", description="Zone whose midnight starts a new budget; `local` is this machine's."
    )
    deadline_ms: int = Field(
        2500,
        ge=50,
        le=600_000,
        description="How long a caller of /joint_predict waits when it sends no X-Request-Deadline-Ms.",
    )
    max_in_flight: int = Field(
        8,
        ge=1,
        le=128,
        description="Calls to the cloud at once; the next frame is answered by the edge at once.",
    )

    c_miss: float = Field(100.0, gt=0, le=1e6, description="price: loss of a missed fire.")
    c_false: float = Field(1.0, gt=0, le=1e6, description="price: loss of a false alarm.")
    reserve: float = Field(
        0.3,
        ge=0,
        le=1,
        description="price: share of the rest of the day that routine questions leave.",
    )
    verify_reserve: float = Field(
        0.6,
        ge=0,
        le=1,
        description="price: share that checks before an alarm leave; they pay no price.",
    )
    audit: float = Field(
        0.02,
        ge=0,
        le=0.5,
        description="price: share of the budget for random checks of quiet frames.",
    )
    price_min: float = Field(0.0005, gt=0, le=1, description="price: never below this.")
    veto_max_s: float = Field(
        60.0, ge=10, le=60, description="Longest time that the cloud's no holds an alarm back."
    )
    battery_soft: float = Field(
        0.3, ge=0, le=1, description="price: below this charge the price rises, up to tenfold."
    )
    battery_hard: float = Field(
        0.1, ge=0, le=1, description="price: below this charge only alarms are checked."
    )

    def price_settings(self) -> dict[str, float]:
        """Give what the price policy takes, by name."""
        names = ("c_miss", "c_false", "reserve", "verify_reserve", "audit", "price_min")
        more = ("veto_max_s", "battery_soft", "battery_hard")
        return {name: getattr(self, name) for name in (*names, *more)}

    @model_validator(mode="after")
    def _battery_empties(self) -> PolicySection:
        if self.battery_hard > self.battery_soft:
            raise ValueError("battery_hard is above battery_soft")
        return self

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(tzlocal.get_localzone_name() if name == "local" else name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as err:
            raise ValueError("is not a known time zone, for instance Europe/Berlin") from err
        return name

    @property
    def zone(self) -> ZoneInfo:
        """Give the zone itself."""
        return ZoneInfo(tzlocal.get_localzone_name() if self.timezone == "local" else self.timezone)

    @property
    def daily_limit_micros(self) -> int:
        """Give the limit in millionths."""
        return int(self.daily_limit * MICROS)

    @property
    def monthly_limit_micros(self) -> int | None:
        """Give the monthly cap in millionths."""
        return None if self.monthly_limit is None else int(self.monthly_limit * MICROS)

    @property
    def cost_micros(self) -> int:
        """Give the cost of a call in millionths."""
        return int(self.cost_per_call * MICROS)

"""The calibration that a site's operators taught; it fits one model file only. Ring: adapter (disk)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.error_code import ErrorCode
from shared.errors import StoreError
from shared.logs import get_logger
from shared.model.manifest import Platt

_FILE = "calibration.json"
_MOST_BYTES = 10_000


class SiteCalibration(BaseModel):
    """What was fitted, of which file, from how many labels; ECE 0…1 with the calibration before and with this one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model_sha256_12: str = Field(pattern=r"^[0-9a-f]{12}$")
    made_at: datetime
    classes: Mapping[Literal["fire", "smoke"], Platt]
    labels: Mapping[Literal["fire", "smoke"], int]
    ece_before: Mapping[Literal["fire", "smoke"], float]
    ece_after: Mapping[Literal["fire", "smoke"], float]


def read_site_calibration(state: Path, model_sha256_12: str) -> Mapping[str, Platt]:
    """Give the site's calibration by class; empty without one, or when it was fitted to another model.

    Raises:
        StoreError(STORE_UNAVAILABLE): it cannot be read, or is none.
    """
    path = state / _FILE
    try:
        with path.open("rb") as file:
            found = SiteCalibration.model_validate_json(file.read(_MOST_BYTES))
    except FileNotFoundError:
        return {}
    except OSError as err:
        raise StoreError(ErrorCode.STORE_UNAVAILABLE, f"{path}: {err.strerror}") from err
    except ValidationError as err:
        problem = err.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"]) or "not JSON"
        detail = f"{path}: {where}: {problem['msg']}"
        raise StoreError(ErrorCode.STORE_UNAVAILABLE, detail) from err
    if found.model_sha256_12 != model_sha256_12:
        get_logger().warning("site_calibration_of_another_model", model=found.model_sha256_12)
        return {}
    return {str(name): platt for name, platt in found.classes.items()}


def write_site_calibration(state: Path, found: SiteCalibration) -> Path:
    """Write it whole or not at all, at every moment one of both holds; a copy of the one before stays as `.before`."""
    path, partial = state / _FILE, state / (_FILE + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(found.model_dump_json(indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        shutil.copyfile(path, state / (_FILE + ".before"))
    os.replace(partial, path)
    return path

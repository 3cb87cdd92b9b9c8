"""What a model artifact says of itself, verified before anything is built from it. Ring: adapter (disk).

The bytes that were hashed are the bytes that the session is built from, so a file swapped between the two
steps cannot pass.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.error_code import ErrorCode
from shared.errors import ModelError
from shared.picture.letterbox import InputContract
from shared.types import Label, ModelIdentity

MANIFEST_NAME = "manifest.json"
_MAX_MODEL_BYTES = 512 * 1024 * 1024
MAX_SELF_TEST_BYTES = 2_000_000  # a 1080p JPEG is a fifth of this
_LABELS = ("fire", "smoke")
_FILE_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"  # a cloud may have written it: no folder, no name that is too long


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelFile(_Strict):
    """One file of an artifact."""

    path: str = Field(pattern=rf"^{_FILE_NAME}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(gt=0, le=_MAX_MODEL_BYTES)


# The smallest canvas that a picture can be fitted on, and the largest that any of our nets could want.
_SidePx = Annotated[int, Field(ge=16, le=4096)]
_Spread = Annotated[float, Field(gt=0)]


class InputSection(_Strict):
    """The input contract as it stands in the manifest."""

    name: str = Field(min_length=1)
    sizes_px: tuple[tuple[_SidePx, _SidePx], ...] = Field(min_length=1)
    colour: Literal["RGB", "BGR"]
    mean: tuple[float, float, float]
    std: tuple[_Spread, _Spread, _Spread]
    pad_value: int = Field(ge=0, le=255)

    def contract(self) -> InputContract:
        """Give the value that preprocessing works from."""
        return InputContract(**self.model_dump())


class Platt(_Strict):
    """Calibration of one class: p = 1 / (1 + exp(−(scale · logit + bias))) (Platt 1999)."""

    scale: float = Field(gt=0)
    bias: float


class ValueSection(_Strict):
    """Calibration of a score's logit into the chance that asking the cloud pays; fitted from the int8 file's scores.

    z = a · x + b + d · max(0, x − resting x); `level_a`, `level_b` for frames without history. `prior`: the share of
    frames in the field that are thought to show a fire worth asking about.
    """

    a: float = Field(gt=0)
    b: float
    d: float = Field(ge=0)
    level_a: float = Field(gt=0)
    level_b: float
    prior: float = Field(gt=0, lt=1)


class SelfTestFile(_Strict):
    """A picture whose answer is known; a model that gives another is refused. `file` is relative to the manifest."""

    file: str = Field(pattern=rf"^selftest/{_FILE_NAME}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    label: Label


class Manifest(_Strict):
    """An artifact's manifest, schema 1."""

    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(pattern=r"^[a-z0-9-]+$")
    version: str = Field(pattern=r"^[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}$")
    kind: Literal["classifier", "detector"]
    created_at: str
    labels: tuple[str, ...]
    files: dict[str, ModelFile] = Field(min_length=1)
    default_variant: str
    input: InputSection
    outputs: tuple[str, ...]
    calibration: dict[str, dict[str, Platt]]
    thresholds: dict[str, float]
    nms_iou: float | None = Field(ge=0, le=1)
    value: ValueSection | None = None
    selftest: tuple[SelfTestFile, ...] = Field(default=(), max_length=32)
    training: dict[str, Any]
    metrics: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """A verified picture (encoded bytes) and what the model must say of it."""

    name: str
    encoded: bytes
    label: Label


class Artifact:
    """A verified artifact: its manifest, the bytes of one variant, and the pictures it must know."""

    def __init__(
        self,
        manifest: Manifest,
        variant: str,
        model_bytes: bytes,
        self_tests: tuple[SelfTest, ...] = (),
    ) -> None:
        """Keep what `load_artifact` verified."""
        self.manifest = manifest
        self.variant = variant
        self.model_bytes = model_bytes
        self.self_tests = self_tests

    @property
    def identity(self) -> ModelIdentity:
        """Name the model as answers do."""
        sha256 = self.manifest.files[self.variant].sha256
        return ModelIdentity(
            name=self.manifest.name, version=self.manifest.version, sha256_12=sha256[:12]
        )


def shipped_models() -> Path:
    """Find the folder of artifacts that came with the installation (a checkout or a wheel)."""
    spec = importlib.util.find_spec("models")
    for place in (spec.submodule_search_locations or []) if spec else []:
        return Path(place) / "artifacts"
    raise ModelError(
        ErrorCode.MODEL_NOT_READY, "no models were installed; name a folder with --models"
    )


def load_artifact(
    models_dir: Path,
    name: str,
    *,
    kind: Literal["classifier", "detector"],
    variant: str | None = None,
    prefer: str | None = None,
) -> Artifact:
    """Load and verify the newest version of an artifact.

    Args:
        models_dir: folder that holds `<name>/<version>/manifest.json`.
        name: the artifact's name.
        kind: what it must be.
        variant: which file, for instance `int8` or `fp32`; None takes the manifest's default.
        prefer: what takes the default's place where the manifest lists it.

    Raises:
        ModelError(MODEL_NOT_READY): nothing of that name is there.
        ModelError(MODEL_REFUSED): the manifest is not valid, or the file differs from it.
    """
    folder = newest_version([models_dir], name)
    return load_version(folder, name, kind=kind, variant=variant, prefer=prefer)


def load_version(
    folder: Path,
    name: str,
    *,
    kind: Literal["classifier", "detector"],
    variant: str | None = None,
    prefer: str | None = None,
) -> Artifact:
    """Load and verify the artifact in one folder, see `load_artifact`.

    Raises:
        ModelError(MODEL_REFUSED)
    """
    manifest = read_manifest(folder / MANIFEST_NAME)
    _check_claims(manifest, folder, name, kind)
    default = prefer if prefer and prefer in manifest.files else manifest.default_variant
    chosen = variant or default
    entry = manifest.files.get(chosen)
    if entry is None:
        detail = f"{folder}: no variant {chosen!r}, there are {sorted(manifest.files)}"
        remedy = "Name a variant that is there, or none: the one that fits this machine is chosen."
        raise ModelError(ErrorCode.MODEL_REFUSED, detail, remedy=remedy)
    model_bytes = verified_bytes(folder / entry.path, entry.sha256, entry.bytes)
    tests = tuple(
        SelfTest(
            name=test.file,
            encoded=verified_bytes(folder / test.file, test.sha256),
            label=test.label,
        )
        for test in manifest.selftest
    )
    return Artifact(manifest, chosen, model_bytes, tests)


def read_manifest(path: Path) -> Manifest:
    """Read and validate one manifest file.

    Raises:
        ModelError(MODEL_REFUSED): unreadable, not JSON, or not of schema 1.
    """
    try:
        content = path.read_bytes()
    except OSError as err:
        raise ModelError(ErrorCode.MODEL_REFUSED, f"{path}: {err.strerror}") from err
    return parse_manifest(content, str(path))


def parse_manifest(content: bytes, place: str) -> Manifest:
    """Validate the bytes of a manifest; `place` names them in the error.

    Raises:
        ModelError(MODEL_REFUSED): not JSON, or not of schema 1.
    """
    try:
        return Manifest.model_validate(json.loads(content))
    except (ValueError, ValidationError, RecursionError) as err:
        raise ModelError(ErrorCode.MODEL_REFUSED, f"{place}: {err}") from err


def newest_version(models_dirs: Sequence[Path], name: str) -> Path:
    """Find the folder with the highest version of an artifact; among equals the first folder's.

    Raises:
        ModelError(MODEL_NOT_READY): nothing of that name is there.
    """
    versions = [p.parent for d in models_dirs for p in (d / name).glob(f"*/{MANIFEST_NAME}")]
    if not versions:
        places = ", ".join(str(d / name) for d in models_dirs)
        remedy = "Name the folder of models with --models or the setting `models`; the shipped one needs neither."
        raise ModelError(ErrorCode.MODEL_NOT_READY, f"no artifact below {places}", remedy=remedy)
    return max(versions, key=lambda p: version_order(p.name))


def version_before(models_dirs: Sequence[Path], name: str, version: str) -> Path:
    """Find the folder with the highest version of an artifact below a given one.

    Raises:
        ModelError(HTTP_NOT_FOUND): there is none.
    """
    found = [p.parent for d in models_dirs for p in (d / name).glob(f"*/{MANIFEST_NAME}")]
    earlier = [p for p in found if version_order(p.name) < version_order(version)]
    if not earlier:
        detail = f"no version of {name} before {version} is in the models folder"
        raise ModelError(ErrorCode.HTTP_NOT_FOUND, detail)
    return max(earlier, key=lambda p: version_order(p.name))


def version_order(version: str) -> tuple[int, ...]:
    """Order versions by their numbers: 0.10.0 is after 0.9.0."""
    return tuple(int(n) if n.isdigit() else -1 for n in version.split("."))


def _check_claims(manifest: Manifest, folder: Path, name: str, kind: str) -> None:
    claims = {
        "name": (manifest.name, name),
        "version": (manifest.version, folder.name),
        "kind": (manifest.kind, kind),
        "labels": (manifest.labels, _LABELS),
        "thresholds": (tuple(sorted(manifest.thresholds)), _LABELS),
    }
    wrong = [
        f"{key} is {is_!r}, expected {want!r}" for key, (is_, want) in claims.items() if is_ != want
    ]
    if kind == "classifier":
        wrong += [
            f"calibration of {variant} lacks a class"
            for variant in manifest.files
            if tuple(sorted(manifest.calibration.get(variant, {}))) != _LABELS
        ]
    if wrong:
        raise ModelError(ErrorCode.MODEL_REFUSED, f"{folder / MANIFEST_NAME}: " + "; ".join(wrong))


def verified_bytes(path: Path, sha256: str, size: int | None = None) -> bytes:
    """Read a file and hold it against its hash; without a `size` it may be as large as a self-test picture.

    Raises:
        ModelError(MODEL_REFUSED)
    """
    try:
        found_bytes = path.stat().st_size
        if size is not None and found_bytes != size:
            detail = f"{path} has {found_bytes} bytes, its manifest says {size}"
            raise ModelError(ErrorCode.MODEL_REFUSED, detail)
        if size is None and found_bytes > MAX_SELF_TEST_BYTES:
            detail = f"{path} has {found_bytes} bytes, at most {MAX_SELF_TEST_BYTES} are allowed"
            raise ModelError(ErrorCode.MODEL_REFUSED, detail)
        content = path.read_bytes()
    except OSError as err:
        raise ModelError(ErrorCode.MODEL_REFUSED, f"{path}: {err.strerror}") from err
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        detail = f"{path} has sha256 {found[:12]}…, its manifest says {sha256[:12]}…"
        raise ModelError(ErrorCode.MODEL_REFUSED, detail)
    return content

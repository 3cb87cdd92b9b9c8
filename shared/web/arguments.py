"""What callers send and what they get: request parsing and the response envelope. Ring: rim.

Takes plain values (bytes, headers, form fields), so that it can be tested without a web server.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.error_code import ErrorCode
from shared.errors import FireError, RequestError

_IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/jpg", "application/octet-stream"})
_MAX_DEADLINE_MS = 600_000
# An empty list is two bytes on the wire and 64 in memory; a call has a handful of fields and at most 256 pictures.
_MAX_JSON_VALUES = 10_000
_MAX_PROBLEMS = 10  # a body of a thousand wrong fields must not make an answer of a megabyte
_MISSING, _UNKNOWN = "missing", "extra_forbidden"  # what pydantic calls them
M = TypeVar("M", bound=BaseModel)
_WHITESPACE = str.maketrans("", "", " \t\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """One parsed request body: pictures as encoded bytes and the fields that came with them.

    `faults`: of a list, the pictures that were not even base64, by index; they stand as empty bytes in `pictures`.
    """

    pictures: tuple[bytes, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[int, RequestError] = field(default_factory=dict)

    def picture(self, index: int) -> bytes:
        """Give one picture; raises the error of one that could not be read."""
        if index in self.faults:
            raise self.faults[index]
        return self.pictures[index]


class PictureFields(BaseModel):
    """What may stand beside a picture, in JSON, a form or the query."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    req_id: str | int | None = None
    camera: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


_NO_FIELDS = PictureFields()


def envelope(req_id: str, result: Any, **flat: Any) -> dict[str, Any]:
    """Build the body of a success; `flat` stands at the top level beside it."""
    return {"req_id": req_id, "err_no": 0, "err_msg": "success", "result": result, **flat}


def problem(
    req_id: str, error: FireError, *, instance: str, is_chinese: bool = False
) -> dict[str, Any]:
    """Build the body of an error: our envelope and an RFC 9457 problem document in one object."""
    row = error.code.row
    text = row.text_zh if is_chinese else row.text_en
    return {
        "req_id": req_id,
        "err_no": row.number,
        "err_msg": text,
        "result": None,
        "type": f"/errors/{row.slug}",
        "title": text,
        "status": row.http_status,
        "detail": error.detail,
        "instance": instance,
        "retryable": row.retryable,
    }


def media_type_of(content_type: str | None) -> str:
    """Take the bare media type from a Content-Type header, lower case, parameters dropped."""
    return (content_type or "").partition(";")[0].strip().lower()


def is_picture_type(media_type: str) -> bool:
    """Tell whether a body of this type is the picture itself."""
    return media_type in _IMAGE_TYPES


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object strictly: UTF-8, no NaN or Infinity, a bounded number of values.

    Raises:
        RequestError(REQUEST_NOT_JSON)
    """
    if sum(body.count(sign) for sign in (b",", b"[", b"{")) > _MAX_JSON_VALUES:
        raise RequestError(ErrorCode.REQUEST_NOT_JSON, f"more than {_MAX_JSON_VALUES} values")
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as err:
        raise RequestError(
            ErrorCode.REQUEST_NOT_JSON, str(err)[:200] or "nested too deeply"
        ) from err
    if not isinstance(value, dict):
        detail = f"the top is of type {type(value).__name__}, expected an object"
        raise RequestError(ErrorCode.REQUEST_NOT_JSON, detail)
    return value


def decode_base64(text: Any, name: str, max_bytes: int) -> bytes:
    """Decode a base64 picture; a `data:` URL prefix and line breaks are allowed.

    Raises:
        RequestError(REQUEST_FIELD_INVALID): not a string.
        RequestError(REQUEST_BASE64): empty or not base64.
        RequestError(IMAGE_TOO_MANY_BYTES): longer than `max_bytes` once decoded; nothing is decoded then.
    """
    if not isinstance(text, str):
        detail = f"{name} is of type {type(text).__name__}, expected a base64 string"
        raise RequestError(ErrorCode.REQUEST_FIELD_INVALID, detail)
    if text.startswith("data:"):
        text = text.partition(",")[2]
    if len(text) // 4 * 3 > max_bytes * 1.1 + 16:
        raise RequestError(
            ErrorCode.IMAGE_TOO_MANY_BYTES, f"{name} has {len(text)} base64 characters"
        )
    try:
        decoded = base64.b64decode(text.translate(_WHITESPACE), validate=True)
    except (binascii.Error, ValueError) as err:
        raise RequestError(ErrorCode.REQUEST_BASE64, f"{name}: {err}") from err
    if not decoded:
        raise RequestError(ErrorCode.REQUEST_BASE64, f"{name} is empty")
    return decoded


def take_pictures(
    values: Mapping[str, Any], *, single: str, several: str | None, max_bytes: int, max_batch: int
) -> Posted:
    """Take base64 pictures from a JSON object: `single` holds one, `several` a list (None: no list is allowed).

    One picture of a list that cannot be decoded is a fault of its own and does not fail the others.

    Raises:
        RequestError(REQUEST_FIELD_MISSING): neither is there.
        RequestError(BATCH_TOO_LARGE): more than `max_batch`.
        and, for a single picture, what `decode_base64` raises.
    """
    if several is not None and several in values:
        texts = values[several]
        if not isinstance(texts, list) or not texts:
            raise RequestError(
                ErrorCode.REQUEST_FIELD_INVALID, f"{several} must be a list that is not empty"
            )
        check_batch(len(texts), max_batch)
        return _take_list(texts, several, max_bytes)
    if single in values:
        return Posted(pictures=(decode_base64(values[single], single, max_bytes),))
    raise RequestError(ErrorCode.REQUEST_FIELD_MISSING, f"{single} (base64) is missing")


def _take_list(texts: list[Any], name: str, max_bytes: int) -> Posted:
    pictures, faults = [], {}
    for index, text in enumerate(texts):
        try:
            pictures.append(decode_base64(text, f"{name}[{index}]", max_bytes))
        except RequestError as err:
            pictures.append(b"")
            faults[index] = err
    return Posted(pictures=tuple(pictures), faults=faults)


def check_batch(count: int, max_batch: int) -> None:
    """Hold the number of pictures against the limit.

    Raises:
        RequestError(BATCH_TOO_LARGE)
    """
    if count > max_batch:
        raise RequestError(ErrorCode.BATCH_TOO_LARGE, f"{count} pictures, at most {max_batch}")


def parse_fields(values: Mapping[str, Any]) -> PictureFields:
    """Validate what stands beside a picture.

    Raises:
        RequestError(REQUEST_FIELD_INVALID): every problem, by name.
    """
    return validated(PictureFields, values) if values else _NO_FIELDS


def validated(model: type[M], values: Mapping[str, Any]) -> M:
    """Validate what a caller sent.

    Raises:
        RequestError(REQUEST_FIELD_INVALID, or REQUEST_FIELD_MISSING where nothing else is wrong): every problem, by
            name.
    """
    try:
        return model.model_validate(values)
    except ValidationError as err:
        problems = err.errors(include_url=False)
        is_missing = all(problem["type"] == _MISSING for problem in problems)
        code = ErrorCode.REQUEST_FIELD_MISSING if is_missing else ErrorCode.REQUEST_FIELD_INVALID
        raise RequestError(code, _name_problems(problems)) from err


def _name_problems(problems: Sequence[Any]) -> str:
    """Write a validation's problems in one line, each with its field; names, values and their number are cut short."""
    named = [_name_problem(problem) for problem in problems[:_MAX_PROBLEMS]]
    if len(problems) > _MAX_PROBLEMS:
        named.append(f"and {len(problems) - _MAX_PROBLEMS} more")
    return "; ".join(named)


def _name_problem(problem: Any) -> str:
    field_name = ".".join(str(part) for part in problem["loc"])[:40]
    if problem["type"] == _MISSING:
        return f"{field_name} is missing"
    if problem["type"] == _UNKNOWN:
        return f"{field_name} is not known here"
    return f"{field_name}: {problem['msg']}, got {str(problem['input'])[:40]!r}"


def parse_deadline_ms(text: str | None) -> int | None:
    """Read `X-Request-Deadline-Ms`; None when the caller did not send it.

    Raises:
        RequestError(REQUEST_DEADLINE_INVALID): not a whole number of 1…600,000.
    """
    if text is None:
        return None
    if not (
        text.isascii()
        and text.isdigit()
        and 1 <= int(text[:9]) <= _MAX_DEADLINE_MS
        and len(text) <= 9
    ):
        detail = f"expected whole milliseconds, 1…{_MAX_DEADLINE_MS}, got {text[:40]!r}"
        raise RequestError(ErrorCode.REQUEST_DEADLINE_INVALID, detail)
    return int(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")

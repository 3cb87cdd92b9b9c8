"""What goes wrong, as exceptions that carry their catalogue row. Ring: domain."""

from __future__ import annotations

from shared.error_code import ErrorCode


class FireError(Exception):
    """Base of all our errors: a catalogue row and a detail that helps whoever reads it at 3 a.m.

    `retry_after_s` is set where the caller should come back, in seconds.
    """

    def __init__(self, code: ErrorCode, detail: str, *, retry_after_s: float | None = None) -> None:
        """Keep the row and the detail."""
        super().__init__(f"{code.row.number} {code.row.text_en}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


class RequestError(FireError):
    """The caller sent something we cannot use."""


class ImageError(RequestError):
    """The picture cannot be used."""


class ModelError(FireError):
    """A model is missing, refused or failed."""


class OutOfMemory(ModelError):
    """The card has no memory left for a run of this size; a smaller one may fit."""


class DeviceLost(ModelError):
    """The card failed, and with it every session of this process on it."""


class LinkError(FireError):
    """The way to the cloud, or the cloud itself, failed us.

    `certainly_not_run` is True when the cloud surely did no work for this call, so that its charge may be refunded.
    """

    def __init__(
        self,
        code: ErrorCode,
        detail: str,
        *,
        retry_after_s: float | None = None,
        certainly_not_run: bool = False,
    ) -> None:
        """Keep also whether the call certainly did not run."""
        super().__init__(code, detail, retry_after_s=retry_after_s)
        self.certainly_not_run = certainly_not_run


class StoreError(FireError):
    """State on disk cannot be read or written."""


class CameraError(FireError):
    """A camera cannot be read."""


class ConfigError(FireError):
    """The configuration has problems, all of them listed in `detail`."""

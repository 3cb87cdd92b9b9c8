"""What goes wrong, as exceptions that carry their catalogue row. Ring: domain."""

from __future__ import annotations

from shared.error_code import ErrorCode


class FireError(Exception):
    """Base of all our errors: a catalogue row and a detail that helps whoever reads it at 3 a.m.

    `retry_after_s` is set where the caller should come back, in seconds. `remedy` says what to do about it: what fits
    this very failure where somebody knew that, else what the row says.
    """

    def __init__(
        self,
        code: ErrorCode,
        detail: str,
        *,
        retry_after_s: float | None = None,
        remedy: str = "",
    ) -> None:
        """Keep the row, the detail and what goes with them."""
        super().__init__(f"{code.row.number} {code.row.text_en}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.remedy = remedy or code.row.hint


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

    `certainly_not_run` is True when the cloud surely did no work for this call, so that its charge may be refunded;
    `is_locked_out` when it does not take calls of this box at all.
    """

    def __init__(
        self,
        code: ErrorCode,
        detail: str,
        *,
        retry_after_s: float | None = None,
        certainly_not_run: bool = False,
        is_locked_out: bool = False,
    ) -> None:
        """Keep also whether the call certainly did not run, and whether no other will."""
        super().__init__(code, detail, retry_after_s=retry_after_s)
        self.certainly_not_run = certainly_not_run
        self.is_locked_out = is_locked_out


class StoreError(FireError):
    """State on disk cannot be read or written."""


class FolderTaken(StoreError):
    """Another process holds the folder of state or evidence."""


class CameraError(FireError):
    """A camera cannot be read."""


class ConfigError(FireError):
    """The configuration has problems, all of them listed in `detail`."""


class CommandError(FireError):
    """A command cannot be carried out as it was typed, and changed nothing."""

    def __init__(self, detail: str, remedy: str) -> None:
        """Keep what stands in the way, and what to type or do instead."""
        super().__init__(ErrorCode.COMMAND_REFUSED, detail, remedy=remedy)

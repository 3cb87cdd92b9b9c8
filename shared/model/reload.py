"""The model that runs now, and how another takes its place. Ring: adapter.

A new model is verified, built and tried beside the old one. It takes over between two pictures: what the old one
began, the old one finishes. Whatever goes wrong, the old one goes on.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import numpy as np

from shared.clock import SystemClock
from shared.error_code import ErrorCode
from shared.errors import FireError, ModelError
from shared.logs import get_logger
from shared.model.manifest import Artifact
from shared.picture.imaging import jpeg_picture, read_picture
from shared.types import ImageLimits, Label, ModelIdentity, Picture, Reloaded
from shared.watch.heartbeat import NOBODY, Watchman

_WATCHER = "model-watch"
_BEAT_S = 5.0
_BUILDING_S = 300.0  # a card tries every batch size of a new model, which may take minutes
_RETRY_AFTER_S = 5.0  # building and trying a model takes about this long


class Loaded(Protocol):
    """A model that was built."""

    @property
    def identity(self) -> ModelIdentity:
        """Name it."""
        ...


M = TypeVar("M", bound=Loaded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """When a model looked at the pictures of its artifact, how many there were, and what was wrong; "" for nothing."""

    at: datetime
    pictures: int
    failure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(Generic[M]):
    """How models of one kind are found, built and asked.

    `find` gives the newest artifact, verified; `build` makes a warmed-up model of it; `label` says what a model sees
    in a picture and raises where its answer is not a finite one. Each may raise FireError.
    """

    find: Callable[[], Artifact]
    build: Callable[[Artifact], M]
    label: Callable[[M, Picture], Label]


class ModelSlot(Generic[M]):
    """Holds the model. `current` may be read by any thread; one change at a time."""

    def __init__(
        self, recipe: Recipe[M], on_change: Callable[[M], None] = lambda new: None
    ) -> None:
        """Start empty; `on_change` is told every model that takes over from the first one."""
        self._recipe = recipe
        self._on_change = on_change
        self._changing = threading.Lock()
        self._stop = threading.Event()
        self._watchers: list[threading.Thread] = []
        self._refusals: list[
            str
        ] = []  # of each watcher: one finds nothing wrong where another does
        self.current: M | None = None
        self.tried: Tried | None = None

    def load(self, artifact: Artifact | None = None) -> M:
        """Load a model for the first time, the newest version when none is given, and try it.

        One that fails on its own pictures is there all the same, for want of another: `tried` tells.

        Raises:
            ModelError: it is missing or was refused.
        """
        artifact = artifact or self._recipe.find()
        model, failure = self._recipe.build(artifact), ""
        try:
            self._try(model, artifact)
        except ModelError as err:
            get_logger().error("model_selftest_failed", detail=err.detail)
            failure = err.detail
        self.current, self.tried = model, _tried(artifact, failure)
        return model

    def reload(self) -> Reloaded:
        """Replace the model by the newest version, when that is another file.

        Raises:
            ModelError(MODEL_REFUSED, MODEL_NOT_READY): the new one is not fit; the old one goes on.
            FireError(HTTP_UNAVAILABLE): another change is under way.
        """
        with self._alone():
            return self._change_to(self._recipe.find(), lambda: None)

    def offer(self, artifact: Artifact, keep: Callable[[], None]) -> Reloaded:
        """Replace the model by a given one; `keep` is called when it has passed, before it takes over.

        Raises:
            ModelError(MODEL_REFUSED): it is not fit; the old one goes on.
            FireError(HTTP_UNAVAILABLE): another change is under way.
        """
        with self._alone():
            return self._change_to(artifact, keep)

    @property
    def refusal(self) -> str:
        """Tell why the newest version that was found is not fit; "" when it is, or there is none."""
        return "; ".join(refusal for refusal in self._refusals if refusal)

    def watch(
        self,
        every_s: float,
        look: Callable[[], object] | None = None,
        watchman: Watchman = NOBODY,
    ) -> None:
        """Look for a newer version every `every_s` seconds, in a thread of its own; `look` replaces `reload`."""
        self._refusals.append("")
        number = len(self._refusals) - 1
        work = functools.partial(self._watch, number, every_s, look or self.reload, watchman)
        watcher = threading.Thread(target=work, name=_WATCHER, daemon=True)
        watchman.watch(_WATCHER, allowed_s=_BUILDING_S)
        self._watchers.append(watcher)
        watcher.start()

    def stop(self) -> None:
        """End the watching."""
        self._stop.set()
        for watcher in self._watchers:
            watcher.join(timeout=2.0)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._changing.acquire(blocking=False):
            detail = "another reload is under way"
            raise FireError(ErrorCode.HTTP_UNAVAILABLE, detail, retry_after_s=_RETRY_AFTER_S)
        try:
            yield
        finally:
            self._changing.release()

    def _change_to(self, artifact: Artifact, keep: Callable[[], None]) -> Reloaded:
        before = self.current.identity if self.current else None
        if artifact.identity != before:
            model = self._recipe.build(artifact)
            self._try(model, artifact)
            keep()
            self.current, self.tried = model, _tried(artifact, "")
            self._on_change(model)
            get_logger().info("model_taken", model=model.identity.as_dict())
        return Reloaded(model=artifact.identity, before=before)

    def _try(self, model: M, artifact: Artifact) -> None:
        """Run noise, then the pictures that the artifact lists, whose labels must come out."""
        noise = np.random.default_rng(0).integers(0, 256, (360, 640, 3), dtype=np.uint8)
        try:
            self._recipe.label(model, jpeg_picture(noise))
            for test in artifact.self_tests:
                found = self._recipe.label(model, read_picture(test.encoded, ImageLimits()))
                if found is not test.label:
                    detail = f"self-test: {test.name} shows {test.label.value}, the model says {found.value}"
                    raise ModelError(ErrorCode.MODEL_REFUSED, detail)
        except ModelError:
            raise
        except (FireError, ValueError, IndexError, KeyError, TypeError) as err:
            raise ModelError(ErrorCode.MODEL_REFUSED, f"the self-test failed: {err}") from err

    def _watch(
        self, number: int, every_s: float, look: Callable[[], object], watchman: Watchman
    ) -> None:
        told = ""
        while not self._is_over(every_s, watchman):
            try:
                look()
                self._refusals[number] = told = ""
            except FireError as err:
                if err.detail != told:  # once a trouble, not once a look
                    get_logger().error("model_not_taken", detail=err.detail)
                told = err.detail
                # A link that is away, or another reload under way, says nothing of a model.
                self._refusals[number] = told if isinstance(err, ModelError) else ""
            except Exception as err:  # thread top: a look that fails must not end the watching
                get_logger().error("model_watch_failed", exc_info=err)
        watchman.unwatch(_WATCHER)

    def _is_over(self, wait_s: float, watchman: Watchman) -> bool:
        """Wait, with signs of life in between; True when the watching shall end."""
        ends_mono_s = time.monotonic() + wait_s
        while (left_s := ends_mono_s - time.monotonic()) > 0:
            watchman.beat(_WATCHER)
            if self._stop.wait(min(_BEAT_S, left_s)):
                return True
        return self._stop.is_set()


def _tried(artifact: Artifact, failure: str) -> Tried:
    return Tried(at=SystemClock().now_at(), pictures=len(artifact.self_tests), failure=failure)

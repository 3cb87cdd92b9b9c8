"""The classifier in use, and where newer ones come from: a folder of this box, or the cloud. Ring: adapter."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from edge.classify.classifier import Classifier, LoadedClassifier
from edge.classify.pull import ModelPull, Wanted
from shared.error_code import ErrorCode
from shared.errors import FireError, ModelError
from shared.logs import get_logger
from shared.model.manifest import Artifact, load_version, newest_version
from shared.model.reload import ModelSlot, Recipe, Tried
from shared.types import Label, Picture, Reloaded

_RETRY_AFTER_S = 5.0  # a pull over a good link takes about this long


class ClassifierSlot:
    """Owns the classifier; frames that are in line when a newer model comes stay with the older one."""

    def __init__(
        self,
        models: Path,
        pulled: Path,
        wanted: Wanted,
        *,
        at_once: int,
        pull: ModelPull | None,
        build: Callable[[Artifact], LoadedClassifier],
        on_change: Callable[[LoadedClassifier], None],
    ) -> None:
        """Load the newest model.

        Args:
            models: the configured folder of artifacts.
            pulled: where `pull` keeps what it fetched; as good as the configured folder once it is there.
            wanted: name and variant.
            at_once: frames classified at once.
            pull: None never asks a cloud.
            build: makes a classifier of an artifact.
            on_change: told every model that takes over from the first one.

        Raises:
            ModelError: there is none, or it was refused.
        """
        self._folders = [models, pulled]
        self._wanted = wanted
        self._pull = pull
        self._pulling = threading.Lock()  # two pulls would fetch into the same folder
        self._slot = ModelSlot(Recipe(find=self._newest, build=build, label=_label), self._taken)
        self._on_change = on_change
        loaded = self._slot.load(self._at_start())
        self.value = loaded.value
        self.classifier = Classifier(loaded, at_once=at_once)

    @property
    def tried(self) -> Tried | None:
        """Tell when the model that runs was tried on its artifact's pictures, and what came of it."""
        return self._slot.tried

    @property
    def refusal(self) -> str:
        """Tell why a newer model was not taken when somebody looked for one last; "" when it was, or there is none."""
        return self._slot.refusal

    def reload(self) -> Reloaded:
        """Take the newest version of this box's folders, or else of the cloud when that has a newer one.

        Raises:
            ModelError, LinkError, StoreError, FireError: why not; the old one goes on.
            FireError(HTTP_UNAVAILABLE): another reload, or another pull, is under way.
        """
        done = self._slot.reload()
        if done.is_changed or self._pull is None:
            return done
        return self._pulled(self._pull, even_if_seen=True) or done

    def watch(self, *, folder_every_s: float, cloud_every_s: float) -> None:
        """Look for newer versions in threads of their own; 0 is off."""
        if folder_every_s:
            self._slot.watch(folder_every_s)
        pull = self._pull
        if cloud_every_s and pull is not None:
            self._slot.watch(cloud_every_s, lambda: self._pulled(pull))

    def stop(self) -> None:
        """End the watching, then the classifier."""
        if self._pull:
            self._pull.close()
        self._slot.stop()
        self.classifier.stop()

    def _pulled(self, pull: ModelPull, *, even_if_seen: bool = False) -> Reloaded | None:
        """Fetch, try and take a newer model; None when there is none, or when it is being pulled anyway."""
        if not self._pulling.acquire(blocking=False):
            if not even_if_seen:
                return None
            detail = "another pull is under way"
            raise FireError(ErrorCode.HTTP_UNAVAILABLE, detail, retry_after_s=_RETRY_AFTER_S)
        try:
            version = self.classifier.identity.version
            artifact = pull.fetch(version, even_if_seen=even_if_seen)
            if artifact is None:
                return None
            return self._slot.offer(artifact, keep=lambda: pull.keep(artifact.identity.version))
        finally:
            self._pulling.release()

    def _taken(self, model: LoadedClassifier) -> None:
        self.value = model.value
        self.classifier.use(model)
        self._on_change(model)

    def _newest(self) -> Artifact:
        return self._load(newest_version(self._folders, self._wanted.name))

    def _at_start(self) -> Artifact:
        """Find the newest; one that was pulled and is damaged since must not keep the box from starting."""
        try:
            return self._newest()
        except ModelError as err:
            found = self._load(newest_version(self._folders[:1], self._wanted.name))
            get_logger().error("pulled_model_not_used", detail=err.detail)
            return found

    def _load(self, folder: Path) -> Artifact:
        wanted = self._wanted
        return load_version(folder, wanted.name, kind="classifier", variant=wanted.variant)


def _label(model: LoadedClassifier, picture: Picture) -> Label:
    seen = model.look(picture)
    if seen.is_broken:
        raise ModelError(ErrorCode.MODEL_REFUSED, "its logits are not finite")
    return seen.label

"""Wires the classifier and where newer ones come from. Ring: rim."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.box.troubles import calibration_unread
from edge.classify.classifier import LoadedClassifier
from edge.classify.pull import ModelPull, Wanted
from edge.classify.site_calibration import read_site_calibration
from edge.classify.slot import ClassifierSlot
from edge.config.settings import EdgeSettings
from shared.access.auth import Signer
from shared.clock import Clock
from shared.errors import StoreError
from shared.model.inference import best_cpu_variant
from shared.model.manifest import Artifact, shipped_models
from shared.watch.trouble import Trouble


def build_models(
    settings: EdgeSettings,
    signer: Signer | None,
    on_change: Callable[[LoadedClassifier], None],
    *,
    folder: Path,
    tell: Callable[[Trouble], None],
    clock: Clock,
) -> ClassifierSlot:
    """Load the classifier; the cloud is asked for newer ones only where nobody can change them on the way.

    `folder` holds those that were fetched, and the site's calibration; one that cannot be read is told as a trouble.

    Raises:
        ModelError: there is no classifier, or it was refused.
    """
    wanted = Wanted(name=settings.model.name, variant=settings.model.variant or best_cpu_variant())
    pulled = folder / "models"
    may_pull = settings.may_pull

    def build(artifact: Artifact) -> LoadedClassifier:
        try:
            site = read_site_calibration(folder, artifact.identity.sha256_12)
        except StoreError as err:
            site = {}
            tell(calibration_unread(err.detail, clock.now_at()))
        return LoadedClassifier(artifact, site)

    return ClassifierSlot(
        settings.models or shipped_models(),
        pulled,
        wanted,
        at_once=settings.model.sessions,
        pull=ModelPull(settings.cloud.url, wanted, pulled, signer) if may_pull else None,
        build=build,
        on_change=on_change,
    )

"""Wires the classifier and where newer ones come from. Ring: rim."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.classify import LoadedClassifier
from edge.config import EdgeSettings
from edge.model_pull import ModelPull, Wanted
from edge.model_slot import ClassifierSlot
from edge.site_calibration import read_site_calibration
from shared.auth import Signer
from shared.inference import best_cpu_variant
from shared.manifest import Artifact, shipped_models


def build_models(
    settings: EdgeSettings,
    signer: Signer | None,
    on_change: Callable[[LoadedClassifier], None],
    *,
    folder: Path,
) -> ClassifierSlot:
    """Load the classifier; the cloud is asked for newer ones only where nobody can change them on the way.

    `folder` holds those that were fetched, and the site's calibration.

    Raises:
        ModelError: there is no classifier, or it was refused.
    """
    wanted = Wanted(name=settings.model.name, variant=settings.model.variant or best_cpu_variant())
    pulled = folder / "models"
    may_pull = settings.may_pull

    def build(artifact: Artifact) -> LoadedClassifier:
        site = read_site_calibration(folder, artifact.identity.sha256_12)
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

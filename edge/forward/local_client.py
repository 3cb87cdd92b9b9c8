"""The detector on this machine, in the shape of a cloud; for replays and machines without a link. Ring: adapter."""

from __future__ import annotations

from pathlib import Path

from edge.forward.cloud_client import CloudAnswer
from shared.clock import SystemClock
from shared.deadline import Deadline
from shared.ids import Trace
from shared.model.detector import Detector, Running
from shared.model.manifest import load_artifact
from shared.types import Picture


class LocalClient:
    """Runs the detector's artifact in the calling thread; as slow as this machine."""

    def __init__(self, models: Path) -> None:
        """Load the artifact, the int8 file where there is one.

        Raises:
            ModelError
        """
        artifact = load_artifact(models, "cloud-detector", kind="detector")
        self._detector = Detector(artifact, Running(), SystemClock())

    def infer(
        self, picture: Picture, *, call_id: str, deadline: Deadline, trace: Trace | None
    ) -> CloudAnswer:
        """Detect; the deadline is not watched, since nobody waits for a replay."""
        prepared = self._detector.prepare(picture)
        (raw,) = self._detector.run_batch([prepared.tensor])
        finding = self._detector.finding(raw, prepared.letterbox)
        return CloudAnswer(
            label=finding.label,
            confidence=finding.confidence,
            detections=finding.detections,
            model=self._detector.identity.as_dict(),
        )

    def report(self, body: bytes, deadline: Deadline) -> None:
        """Nobody to tell."""

    def close(self) -> None:
        """Nothing to let go of."""

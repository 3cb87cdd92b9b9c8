"""What the box knows of itself: for callers, pages, `/readyz`, and the rules that name troubles. Ring: rim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.box.heartbeat import FleetHeartbeat
from edge.box.state_files import StateFiles
from edge.box.troubles import BoxState
from edge.classify.slot import ClassifierSlot
from edge.config.settings import EdgeSettings
from edge.decide.audit import AuditReport
from edge.decide.ledger import Ledger
from edge.decide.policies import Wish
from edge.wiring.cameras import Cameras, camera_row
from edge.wiring.decisions import DecisionPlane
from edge.wiring.events import EventPlane
from edge.wiring.link import Link
from edge.wiring.supervision import BoxCheck, is_clock_synchronised, readiness, well
from shared.types import MICROS, Classification, ModelIdentity, Reloaded
from shared.version import commit, version
from shared.watch.supervise import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxStatus:
    """Asks the parts of a running service; nothing is kept here."""

    settings: EdgeSettings
    models: ClassifierSlot
    plane: DecisionPlane
    link: Link
    heartbeat: FleetHeartbeat | None
    events: EventPlane
    cameras: Cameras
    ledger: Ledger
    files: StateFiles
    supervisor: Supervisor

    @property
    def model(self) -> ModelIdentity:
        """Name the classifier."""
        return self.models.classifier.identity

    def reload(self) -> Reloaded:
        """Take the newest classifier, see `ClassifierSlot.reload`."""
        return self.models.reload()

    def policy_status(self) -> dict[str, Any]:
        """Tell what the decision plane knows of the day and the cameras."""
        state = self.link.breaker_state()
        return {**self.plane.status(), "breaker": state.value if state else None}

    def audit_report(self) -> AuditReport:
        """Tell what random checks of quiet frames found today."""
        return self.plane.audit_report()

    def explain(self, camera: str | None, classification: Classification) -> Wish:
        """Tell what would be decided now, without charging."""
        return self.plane.explain(camera, classification)

    def camera_states(self) -> list[dict[str, Any]]:
        """Tell how the cameras are."""
        return [
            {
                **camera_row(state),
                "ask_at": self.plane.ask_at(state.name),
                **self.events.camera_status(state.name),
            }
            for state in self.cameras.states()
        ]

    def checks(self) -> Mapping[str, BoxCheck]:
        """Give the lines of `/readyz`."""
        left = f"{self.plane.budget.remaining_micros() / MICROS:.2f}"
        found = {
            "model": well("model", name=self.model.name, version=self.model.version),
            "cameras": well("cameras", count=str(len(self.settings.cameras))),
            "cloud_link": self.link.check(),
            "disk": well("disk"),
            "clock": well("clock"),
            "budget": well("budget", left=left),
        }
        return readiness(self.supervisor, found)

    def state(self) -> BoxState:
        """Give the state that `box_troubles` judges."""
        budget = self.plane.budget
        return BoxState(
            breaker=self.link.breaker_state(),
            is_cloud_silent=self.heartbeat is not None and self.heartbeat.is_cloud_silent,
            cloud_refusal=self.heartbeat.refusal if self.heartbeat else None,
            budget_limit_micros=budget.limit_micros,
            budget_left_micros=budget.remaining_micros(),
            cost_micros=self.settings.policy.cost_micros,
            frozen_day=budget.frozen_until(),
            overdue_call_s=self.link.overdue_s(),
            clock_skew_s=self.link.skew.seconds(),
            is_clock_synchronised=is_clock_synchronised(),
            ledger_trouble=self.ledger.trouble,
            free_bytes=self.files.free_bytes(),
            classifier_trouble=self.models.classifier.trouble,
            model_failure=self.models.tried.failure if self.models.tried else "",
            newer_refusal=self.models.refusal,
        )

    def version(self) -> Mapping[str, Any]:
        """Give what `/version` tells."""
        return {
            "name": "emberlink-edge",
            "version": version(),
            "commit": commit(),
            "model": self.model.as_dict(),
            "policy": self.settings.policy.name.value,
            "limits": {
                **self.settings.limits.model_dump(),
                "formats": ["image/jpeg", "image/png"],
            },
        }

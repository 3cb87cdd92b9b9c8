"""The test alarm of a box, wired: its own evidence, the line without the cloud, the schedule. Ring: rim."""

from __future__ import annotations

from dataclasses import replace

from edge.alert.deliveries import Deliveries
from edge.box.state_files import StateFiles
from edge.config.settings import EdgeSettings
from edge.decide.policies import PolicyName
from edge.event.evidence import Evidence
from edge.forward.forwarder import Forwarder
from edge.pipeline import Pipeline
from edge.selftest.rules import Schedule
from edge.selftest.selftest import THREAD, SelfTest
from edge.selftest.store import SelfTestStore
from edge.wiring.decisions import DecisionPlane
from edge.zones.zones import Masks
from shared.clock import Clock
from shared.deadline import Deadline
from shared.types import Box, Frame, Picture
from shared.watch.supervise import Supervisor

_SILENT_S = 60.0  # five times a second; building the rest of a service comes before its first turn


def build_selftest(
    settings: EdgeSettings,
    *,
    line: Pipeline,
    plane: DecisionPlane,
    link: Forwarder | None,
    masks: Masks,
    alerts: Deliveries,
    files: StateFiles,
    supervisor: Supervisor,
    clock: Clock,
) -> SelfTest:
    """Build it; nothing runs before `start`.

    Args:
        settings: of the service.
        line: that real frames take; a test takes it with evidence of its own and without asking the cloud.
        plane: makes deciders and evidence.
        link: the way to the cloud, for a test that asks it.
        masks: the cameras' zones.
        alerts: what the sinks really got.
        files: opens the file of the results.
        supervisor: watches the thread and is told what failed.
        clock: of the service.
    """
    evidence: Evidence = plane.evidence_apart()
    alone = replace(
        line, decider=plane.decider(PolicyName.EDGE_ONLY, None), forwarder=None, evidence=evidence
    )
    asking = replace(line, decider=plane.decider(PolicyName.ALWAYS, link), evidence=evidence)

    def watch(frame: Frame, is_cloud_asked: bool) -> None:
        deadline = Deadline.after(settings.policy.deadline_ms / 1000, clock)
        (asking if is_cloud_asked else alone).stream(frame, deadline, lambda verdict: None)

    def hidden_share(camera: str, box: Box, picture: Picture) -> float:
        return masks.of(camera).hidden_share(box, picture)

    selftest = SelfTest(
        files.open("selftest.sqlite3", SelfTestStore),
        tuple(settings.cameras),
        Schedule(
            weekday=settings.selftest.weekday,
            at=settings.selftest.at,
            zone=settings.policy.zone,
        ),
        alerts=alerts,
        watch=watch,
        hidden_share=hidden_share,
        quiet_s=settings.events.quiet_s,
        clock=clock,
        beat=supervisor.beat,
    )
    supervisor.add_rule(selftest.troubles)
    supervisor.watch(THREAD, allowed_s=_SILENT_S)
    return selftest

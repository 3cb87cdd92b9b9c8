"""What a box keeps over restarts, opened as its settings say and looked after. Ring: rim."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta

from edge.box.site_zones import SiteZones
from edge.box.state_files import StateFiles
from edge.box.tally import Tally
from edge.box.tally_store import SqliteTallyStore
from edge.box.troubles import blind_cameras
from edge.box.zone_store import ZoneStore
from edge.config.settings import EdgeSettings
from edge.replay.score_log import ScoreLog
from edge.wiring.evidence import build_records
from shared.clock import Clock
from shared.errors import StoreError
from shared.watch.supervise import Supervisor


class Kept:
    """Ledger, zones, evidence, counts and scores; `scores` is None where none are kept."""

    def __init__(
        self, settings: EdgeSettings, files: StateFiles, supervisor: Supervisor, clock: Clock
    ) -> None:
        """Open everything in the state folder; what is damaged is told to `supervisor`.

        Raises:
            ConfigError, StoreError: with cause and remedy; nothing stays open then.
        """
        self._supervisor = supervisor
        self._days = timedelta(days=settings.evidence.keep_days)
        with contextlib.ExitStack() as undo:
            self.ledger = files.ledger(settings.policy)
            undo.callback(self.ledger.close)
            zones = files.open("zones.sqlite3", ZoneStore)
            self.zones = SiteZones(settings.cameras, zones, clock, tell=supervisor.raise_trouble)
            undo.callback(self.zones.close)
            self.records = build_records(settings, clock, supervisor, section_of=self.zones.section)
            undo.callback(self.records.close)
            self._counts = files.open("tally.sqlite3", SqliteTallyStore)
            undo.callback(self._counts.close)
            self.tally = Tally(self._counts, settings.policy.zone, clock, settings.cameras)
            scores_days = settings.log.scores_keep_days
            self.scores = (
                ScoreLog(files.folder / "scores", keep_days=scores_days) if scores_days else None
            )
            self._undo = undo.pop_all()

    def save(self, every_s: float) -> None:
        """Keep what was counted and scored since the last call, `every_s` ago; count the time that cameras were blind.

        Raises:
            StoreError
        """
        for camera in blind_cameras(self._supervisor.active()):
            self.tally.note_blind(camera, round(every_s))
        self._flush()
        self.tally.save()

    def prune(self, now_at: datetime) -> None:
        """Let go of what was counted and scored long ago.

        Raises:
            StoreError
        """
        self._counts.prune((now_at.date() - self._days).isoformat())
        if self.scores:
            self.scores.prune(now_at.date())

    def close(self) -> None:
        """Keep the rest and close everything."""
        self._flush()
        with contextlib.suppress(StoreError):  # a minute of counts, told as a trouble already
            self.tally.save()
        self._undo.close()

    def _flush(self) -> None:
        if self.scores:
            self.scores.flush()

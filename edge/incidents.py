"""Take verdicts on: event → record → alert. Ring: adapter (a thread).

The line never waits for the disk: `take` decides in memory what happened and leaves the work to the recorder thread.
What is urgent goes first: an opening event is made durable with the frame that opened it, and only then are the frames
before it written and its origin is looked for. A disk that fails or hangs stops no alert, see `edge.event.announcing`.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ParamSpec, Protocol

from edge.alert.notice import Notice
from edge.event.announcing import is_news
from edge.event.events import Events
from edge.event.evidence import Alarm
from edge.event.fire_event import EventChange, EventStep, FireEvent, KeptFrame, Origin, Severity
from edge.event.preroll import Preroll
from edge.event.thinning import Thinning
from edge.fuse import Verdict
from shared.clock import Clock
from shared.errors import FireError
from shared.logs import get_logger
from shared.types import Frame, Picture

_P = ParamSpec("_P")
_TICK_S = 1.0
# Waiting for the disk: four cameras' minutes at 2 frames a second. The bytes are mostly those that the pre-roll holds,
# too; beyond this frames are refused and counted.
_MOST_FRAMES = 512
# As many again that say what became of events and messages: a disk that hangs over a weekend must not fill the memory.
_MOST_CHANGES = 1024


class Records(Protocol):
    """Where events are kept; every call returns once it is on disk and raises StoreError when it cannot."""

    def open_event(self, event: FireEvent, before: Sequence[KeptFrame]) -> None:
        """Keep a new event with the frames that are there."""
        ...

    def update_event(self, event: FireEvent) -> None:
        """Keep what is known of it now."""
        ...

    def close_event(self, event: FireEvent) -> None:
        """Keep that it ended."""
        ...

    def add_frame(self, event_id: str, kept: KeptFrame) -> None:
        """Keep one more frame, or a later verdict of one that is there."""
        ...

    def set_origin(self, event_id: str, origin: Origin) -> None:
        """Keep when and where it began."""
        ...

    def note_alert(self, event_id: str, notice: Notice) -> None:
        """Keep what came of a message about it."""
        ...


class Tells(Protocol):
    """Who tells people."""

    def tell(self, change: EventChange, snapshot: Picture | None, kept: threading.Event) -> None:
        """Have a change told once it is `kept`, or soon after in any case; never waits."""
        ...


class Traces(Protocol):
    """Who looks for the origin, in its own time."""

    def trace(self, event: FireEvent, frames: Sequence[KeptFrame]) -> None:
        """Begin to look; never waits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """One thing to write: a change of an event with its frame, a frame alone, or what came of a message.

    `done` once that was tried.
    """

    change: EventChange | None
    event_ids: tuple[str, ...]
    kept: KeptFrame | None
    notice: Notice | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Incidents:
    """Owns the recorder thread; `take` may be called by many threads."""

    def __init__(
        self,
        events: Events,
        *,
        preroll: Preroll,
        keeps: Records,
        tells: Tells,
        traces: Traces | None,
        clock: Clock,
        beat: Callable[[], None] = lambda: None,
        took: Callable[[str, float], None] = lambda stage, seconds: None,
    ) -> None:
        """Keep where verdicts go.

        Args:
            events: the state machine; this is its only caller.
            preroll: the frames before an event.
            keeps: the record.
            tells: announces changes.
            traces: finds origins; None looks for none.
            clock: paces what is kept of a long event.
            beat: shows that the recorder thread lives.
            took: told how long each write took, stage `record`.
        """
        self._beat = beat
        self._took = took
        self._events = events
        self._preroll = preroll
        self._keeps = keeps
        self._tells = tells
        self._traces = traces
        self._clock = clock
        self._thinning = Thinning(clock)
        self._lock = threading.Lock()
        self._ready = threading.Condition()
        self._urgent: deque[_Work] = deque()
        self._frames: deque[_Work] = deque()
        self._unkept: set[str] = set()
        self._is_failing = False
        self._is_stopping = False
        self.dropped = 0
        self._counts: Counter[tuple[str, Severity]] = Counter()
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close_left(self, left: Sequence[FireEvent]) -> None:
        """Close what a box that died left open: nobody can say how it went on, and new fire is a new event."""
        for event in left:
            closed = replace(event, closed_at=max(event.last_seen_at, self._clock.now_at()))
            change = EventChange(step=EventStep.CLOSED, event=closed, why="restart")
            self._put(_Work(change=change, event_ids=(), kept=None))

    def stop(self, timeout_s: float) -> None:
        """Close what is open, write what waits, and end."""
        with self._lock:
            for change in self._events.close_all():
                self._put(_Work(change=change, event_ids=(), kept=None))
        with self._ready:
            self._is_stopping = True
            self._ready.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def take(self, frame: Frame, verdict: Verdict, alarm: Alarm | None) -> None:
        """Take in a verdict; microseconds, whatever the disk does."""
        if frame.camera is None:
            return
        kept = KeptFrame(frame=frame, verdict=verdict)
        with self._lock:
            if verdict.is_amendment:
                self._preroll.amend(frame.camera, verdict)
            else:
                self._preroll.put(frame, verdict)
            taken = self._events.take(frame, verdict, alarm)
            for change in taken.changes:
                self._put(_Work(change=change, event_ids=(), kept=kept))
            begun = [c.event for c in taken.changes if c.step is EventStep.OPENED]
            self._counts.update((event.camera, event.severity) for event in begun)
            opened = {event.event_id for event in begun}
            wanted = tuple(
                event_id
                for event_id in taken.event_ids
                if event_id not in opened
                and (verdict.is_amendment or self._thinning.is_wanted(event_id))
            )
            if wanted:
                self._put(_Work(change=None, event_ids=wanted, kept=kept))

    def open_count(self) -> int:
        """Tell how many events are open."""
        with self._lock:
            return len(self._events.open_events())

    def opened(self) -> dict[tuple[str, Severity], int]:
        """Tell how many events began since the start, by camera and what they began as."""
        with self._lock:
            return dict(self._counts)

    def found(self, event: FireEvent, origin: Origin) -> None:
        """Take in an origin: record it, then tell of it; called from the tracing thread."""
        if self._keep(self._keeps.set_origin, event.event_id, origin):
            change = EventChange(step=EventStep.UPDATED, event=event, why="origin", origin=origin)
            kept = threading.Event()
            kept.set()
            self._tells.tell(change, None, kept)

    def note_alert(self, event_id: str, notice: Notice) -> None:
        """Take in what came of a message; microseconds, so that no sink waits for the disk."""
        self._put(_Work(change=None, event_ids=(event_id,), kept=None, notice=notice))

    def _put(self, work: _Work) -> None:
        """Queue work, what opens or matters first; a full queue refuses and counts it. People are told either way."""
        change = work.change
        if change is not None and change.step is EventStep.CLOSED:
            self._thinning.forget(change.event.event_id)
        is_urgent = work.notice is not None or (
            change is not None and change.step is not EventStep.CLOSED
        )
        waiting = self._urgent if is_urgent else self._frames
        most = _MOST_FRAMES if change is None and not is_urgent else _MOST_CHANGES
        with self._ready:
            if len(waiting) < most:
                waiting.append(work)
                self._ready.notify()
            else:
                self._refuse(work)
        if change is not None and is_news(change):
            self._tells.tell(change, work.kept.frame.picture if work.kept else None, work.done)

    def _refuse(self, work: _Work) -> None:
        """Count what is not written; an event whose opening is among that is opened with its next change."""
        self.dropped += 1
        work.done.set()
        if work.change is not None and work.change.step is EventStep.OPENED:
            self._unkept.add(work.change.event.event_id)

    def _work(self) -> None:
        ticked_mono_s = self._clock.mono_s()
        while True:
            self._beat()
            work = self._next()
            if work is None and self._is_stopping:
                return
            try:
                if work is not None:
                    self._write(work)
                if work is None or self._clock.mono_s() - ticked_mono_s >= _TICK_S:
                    ticked_mono_s = self._clock.mono_s()
                    self._tick()
            except Exception as err:  # thread top: one bad record must not end the recorder
                get_logger().error("record_failed", exc_info=err)

    def _next(self) -> _Work | None:
        with self._ready:
            if not self._urgent and not self._frames and not self._is_stopping:
                self._ready.wait(_TICK_S)
            for waiting in (self._urgent, self._frames):
                if waiting:
                    return waiting.popleft()
            return None

    def _tick(self) -> None:
        with self._lock:
            for change in self._events.tick():
                self._put(_Work(change=change, event_ids=(), kept=None))

    def _write(self, work: _Work) -> None:
        if work.change is not None:
            self._write_change(work.change, work.kept)
            work.done.set()
            if work.change.step is EventStep.OPENED:
                self._look_back(work.change.event, work.kept)
        for event_id in work.event_ids:
            if event_id in self._unkept:
                continue
            if work.kept is not None:
                self._keep(self._keeps.add_frame, event_id, work.kept)
            if work.notice is not None:
                self._keep(self._keeps.note_alert, event_id, work.notice)

    def _write_change(self, change: EventChange, kept: KeptFrame | None) -> None:
        event, step = change.event, change.step
        if step is EventStep.OPENED or event.event_id in self._unkept:
            self._open(event, kept)
        if step is EventStep.UPDATED:
            self._keep(self._keeps.update_event, event)
        if step is EventStep.CLOSED:
            self._keep(self._keeps.close_event, event)

    def _open(self, event: FireEvent, kept: KeptFrame | None) -> None:
        """Make an event durable with the frame that opened it; one that failed is tried again at its next change."""
        frames = () if kept is None else (kept,)
        is_kept = self._keep(self._keeps.open_event, replace(event, closed_at=None), frames)
        (self._unkept.discard if is_kept else self._unkept.add)(event.event_id)

    def _look_back(self, event: FireEvent, kept: KeptFrame | None) -> None:
        """Queue the frames before an event, and have its origin looked for."""
        before = self._preroll.frames(event.camera)
        earlier = [b for b in before if b.frame.captured_at < event.opened_at]
        for frame in earlier:
            self._put(_Work(change=None, event_ids=(event.event_id,), kept=frame))
        if self._traces is not None and kept is not None:
            self._traces.trace(event, (*earlier, kept))

    def _keep(self, write: Callable[_P, None], *what: _P.args, **named: _P.kwargs) -> bool:
        """Write, and note in the log when it begins to fail and when that ends; the alert goes out either way."""
        begun_mono_s = self._clock.mono_s()
        try:
            write(*what, **named)
        except FireError as err:
            self._tell(err.detail)
            return False
        except Exception as err:  # sink call: whatever a record does, the alert goes out
            get_logger().error("record_failed", exc_info=err)
            self._tell(str(err))
            return False
        finally:
            self._took("record", self._clock.mono_s() - begun_mono_s)
        self._tell(None)
        return True

    def _tell(self, detail: str | None) -> None:
        if (detail is not None) is self._is_failing:
            return
        self._is_failing = detail is not None
        if detail is not None:
            get_logger().error("record_lost", detail=detail)
        else:
            get_logger().info("record_works_again")

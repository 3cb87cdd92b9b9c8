"""Watches over the process itself: silent threads and whatever else is wrong become troubles. Ring: adapter (a thread).

A *rule* tells which troubles hold at this moment; what it told before and does not tell now is over. What no rule can
see is raised and cleared by whoever sees it. A thread that falls silent is a trouble and is replaced where its owner
said how; while a vital one is silent, systemd's watchdog is not fed and starts the process anew.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import FireError, StoreError
from shared.logs import get_logger, lost_lines
from shared.watch.heartbeat import Heartbeats, Watched
from shared.watch.kept_troubles import KeptTroubles
from shared.watch.service_manager import ServiceManager
from shared.watch.trouble import Trouble, TroubleBook, TroubleKey, TroubleKind

_EVERY_S = 1.0  # a look costs some 0.1 ms; rarer looks show troubles later
_REMEMBER_S = 120.0  # after this what the last process knew and nobody raised again is forgotten
_MARK_EVERY_S = 10.0  # how exactly a crash can be dated afterwards
_LOOK_WAIT_S = 1.0
_STANDSTILL_S = 10.0  # a loaded machine delays this thread by less; longer means that nobody ran

Rule = Callable[[], Iterable[Trouble]]
"""Gives the troubles that hold now; fast, without I/O that may hang."""


class Supervisor:
    """Heartbeats and troubles of one process; safe for use by many threads."""

    def __init__(
        self, clock: Clock, folder: Path | None = None, manager: ServiceManager | None = None
    ) -> None:
        """Take up the troubles that the process before left.

        Args:
            clock: wall time for `since`, monotonic for silences.
            folder: the state folder, already held by this process; None keeps nothing.
            manager: who is told that the service is ready and alive; None is systemd, where it runs us.
        """
        self._clock = clock
        self._beats = Heartbeats(clock)
        self._kept = KeptTroubles(folder) if folder else None
        self._manager = manager or ServiceManager(os.environ)
        self._book = TroubleBook(self._kept.load() if self._kept else ())
        self._began_mono_s: dict[TroubleKey, float] = {}
        self._rules = [_RuleMemory(self._log_troubles)]
        self._silent: set[str] = set()
        self._book_lock = threading.Lock()  # the innermost: nothing is called while it is held
        self._look_lock = threading.Lock()  # one look at a time
        self._save_lock = threading.Lock()  # one writer of the file
        self._is_saved = True
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervise", daemon=True)
        self._started_mono_s = self._marked_mono_s = self._looked_mono_s = clock.mono_s()

    def start(self) -> None:
        """Begin to look; an unclean end of the process before becomes a trouble now."""
        self._note_unclean_end()
        self._mark_alive()
        self._looked_mono_s = self._clock.mono_s()
        self._thread.start()
        self._manager.ready()

    def stopping(self, *, for_good: bool = True) -> None:
        """Tell the service manager of an end `for_good`, and end the looking: threads that end now are no trouble."""
        if for_good:
            self._manager.stopping()
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2 * _LOOK_WAIT_S)

    def stopped(self) -> None:
        """Write down that this end was meant; call it last."""
        try:
            self._save()
        except StoreError as err:
            get_logger().error("troubles_not_kept", detail=err.detail)
        if self._kept:
            self._kept.mark_stopped()

    def watch(
        self,
        thread: str,
        *,
        allowed_s: float,
        restart: Callable[[], None] | None = None,
        is_vital: bool = False,
    ) -> None:
        """Expect beats of a thread from now on, see `shared.watch.heartbeat.Watched`."""
        self._beats.watch(
            Watched(thread=thread, allowed_s=allowed_s, restart=restart, is_vital=is_vital)
        )

    def unwatch(self, thread: str) -> None:
        """Expect no more beats: the thread has ended as it should."""
        self._beats.unwatch(thread)
        self.clear(TroubleKind.THREAD, thread)

    def beat(self, thread: str) -> None:
        """Write down that a thread is alive; cheap enough for every turn of a loop."""
        self._beats.beat(thread)

    def add_rule(self, rule: Rule) -> None:
        """Ask a rule at every look from now on."""
        self._rules.append(_RuleMemory(rule))

    def raise_trouble(self, trouble: Trouble) -> None:
        """Put down a trouble; one that is known keeps its `since`, a new one is logged."""
        with self._book_lock:
            is_new = self._book.note(trouble)
            if is_new:
                self._is_saved = False
                self._began_mono_s[trouble.key] = self._clock.mono_s()
        if is_new:
            get_logger().warning(
                "trouble_began",
                kind=trouble.kind.value,
                subject=trouble.subject,
                code=trouble.code,
                cause=trouble.cause,
                remedy=trouble.remedy,
            )

    def clear(self, kind: TroubleKind, subject: str, code: str | None = None) -> None:
        """Strike out a trouble that is over, all codes of the subject for None; not an error when there is none."""
        with self._book_lock:
            over = self._book.clear(kind, subject, code)
            self._is_saved = self._is_saved and not over
        for trouble in over:
            self._log_end("trouble_ended", trouble)

    def active(self) -> tuple[Trouble, ...]:
        """Give the troubles that hold now, the oldest first."""
        with self._book_lock:
            return self._book.active()

    def acknowledge(self, kind: TroubleKind, subject: str, code: str, *, by: str) -> Trouble:
        """Write down that a person has seen a trouble; that is on disk when this returns.

        Raises:
            FireError(HTTP_NOT_FOUND): it is not, or no longer, active.
            StoreError(STORE_UNAVAILABLE): it holds now, but a restart will not know it.
        """
        key = TroubleKey(kind=kind, subject=subject, code=code)
        with self._book_lock:
            seen = self._book.acknowledge(key, by=by, at=self._clock.now_at())
            self._is_saved = False
        if seen is None:
            detail = f"no trouble {kind.value}, {subject!r}, {code!r} is active"
            raise FireError(ErrorCode.HTTP_NOT_FOUND, detail)
        self._log_end("trouble_acknowledged", seen, by=by)
        self._save()
        return seen

    def look(self) -> None:
        """Ask every rule and hear every heart now; the thread does it each second, pages may ask in between."""
        if not self._look_lock.acquire(timeout=_LOOK_WAIT_S):
            return  # another look takes long; its findings will do
        try:
            for memory in self._rules:
                self._ask(memory)
            self._hear_hearts()
        finally:
            self._look_lock.release()

    def is_fit(self) -> bool:
        """Tell whether every vital thread beats."""
        return not any(watched.is_vital for watched in self._beats.silent())

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            self._excuse_after_standstill()
            try:
                self.look()
                self._keep()
            except Exception as err:  # thread top: who watches must not die
                get_logger().error("supervision_failed", exc_info=err)
            if self.is_fit():
                self._manager.alive()

    def _excuse_after_standstill(self) -> None:
        """Blame nobody when the whole process stood still (a paused machine, a debugger): we were silent, too."""
        now_mono_s = self._clock.mono_s()
        if now_mono_s - self._looked_mono_s > _STANDSTILL_S:
            get_logger().warning("process_stood_still", seconds=now_mono_s - self._looked_mono_s)
            self._beats.start_over()
        self._looked_mono_s = now_mono_s

    def _ask(self, memory: _RuleMemory) -> None:
        try:
            found = list(memory.rule())
        except Exception as err:  # a rule that fails must not silence the others
            if not memory.has_failed:
                get_logger().error("rule_failed", exc_info=err)
            memory.has_failed = True
            return
        memory.has_failed = False
        for trouble in found:
            self.raise_trouble(trouble)
        keys = {trouble.key for trouble in found}
        for key in memory.told - keys:
            self.clear(key.kind, key.subject, key.code)
        memory.told = keys

    def _hear_hearts(self) -> None:
        silent = self._beats.silent()
        for watched in silent:
            self.raise_trouble(self._silence(watched))
            if watched.restart is not None and self._beats.is_due(watched):
                self._restart(watched, watched.restart)
        still = {watched.thread for watched in silent}
        for thread in self._silent - still:
            self.clear(TroubleKind.THREAD, thread, "silent")
        self._silent = still

    def _silence(self, watched: Watched) -> Trouble:
        silent_s = self._beats.silent_s(watched.thread)
        remedy = "It is replaced; " if watched.restart else "Restart the service; "
        return Trouble(
            kind=TroubleKind.THREAD,
            subject=watched.thread,
            code="silent",
            cause=f"The thread gave no sign of life for {silent_s:.0f} s.",
            remedy=f"{remedy}if this repeats, send the log of that time to the maker.",
            since=self._clock.now_at(),
            figures={"seconds": f"{silent_s:.0f}"},
        )

    def _restart(self, watched: Watched, restart: Callable[[], None]) -> None:
        self._beats.excuse(watched.thread)
        try:
            restart()
        except FireError as err:
            get_logger().error("restart_refused", thread=watched.thread, detail=err.detail)
        except Exception as err:  # thread top: an owner that fails must not end the watching
            get_logger().error("restart_failed", thread=watched.thread, exc_info=err)

    def _note_unclean_end(self) -> None:
        last_at = self._kept.last_alive() if self._kept else None
        if last_at is None:
            return
        self.raise_trouble(
            Trouble(
                kind=TroubleKind.RESTART,
                subject="",
                code="unclean",
                cause="The service ended without being stopped (power, crash or kill); "
                f"it was last alive at {last_at:%Y-%m-%d %H:%M:%S} UTC.",
                remedy="Nothing was watched until this start. Check power and log, then acknowledge.",
                since=self._clock.now_at(),
                needs_acknowledgement=True,
                figures={"at": f"{last_at:%Y-%m-%d %H:%M:%S}"},
            )
        )

    def _keep(self) -> None:
        now_mono_s = self._clock.mono_s()
        if now_mono_s - self._started_mono_s > _REMEMBER_S:
            with self._book_lock:
                self._book.forget_remembered()
        if now_mono_s - self._marked_mono_s > _MARK_EVERY_S:
            self._marked_mono_s = now_mono_s
            self._mark_alive()
        if not self._is_saved:
            try:
                self._save()
            except StoreError as err:
                self._tell_disk(err.detail)
            else:
                self.clear(TroubleKind.DISK, "", "troubles_not_kept")

    def _mark_alive(self) -> None:
        if self._kept is None:
            return
        try:
            self._kept.mark_alive()
        except StoreError as err:
            self._tell_disk(err.detail)

    def _save(self) -> None:
        if self._kept is None:
            return
        with self._save_lock:
            with self._book_lock:
                troubles, self._is_saved = self._book.to_keep(), True
            try:
                self._kept.save(troubles)
            except StoreError:
                self._is_saved = False
                raise

    def _tell_disk(self, detail: str) -> None:
        self.raise_trouble(
            Trouble(
                kind=TroubleKind.DISK,
                subject="",
                code="troubles_not_kept",
                cause=f"Troubles cannot be written down: {detail}",
                remedy="Free space on the disk of the state folder, or make it writable.",
                since=self._clock.now_at(),
                figures={"detail": detail},
            )
        )

    def _log_troubles(self) -> Iterator[Trouble]:
        if lost := lost_lines():
            yield Trouble(
                kind=TroubleKind.DISK,
                subject="",
                code="log_not_written",
                cause=f"The log cannot be written, {lost.count} lines so far did not go out: {lost.why}",
                remedy="Free space on the disk that the log goes to, or start what reads it again.",
                since=self._clock.now_at(),
                figures={"count": str(lost.count), "detail": lost.why},
            )

    def _log_end(self, event: str, trouble: Trouble, **more: str) -> None:
        began_mono_s = self._began_mono_s.get(trouble.key)
        lasted_s = None if began_mono_s is None else round(self._clock.mono_s() - began_mono_s, 1)
        get_logger().info(
            event,
            kind=trouble.kind.value,
            subject=trouble.subject,
            code=trouble.code,
            lasted_s=lasted_s,
            **more,
        )


class _RuleMemory:
    """A rule and what it told last."""

    __slots__ = ("has_failed", "rule", "told")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.told: set[TroubleKey] = set()
        self.has_failed = False

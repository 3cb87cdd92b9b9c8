"""Forward a frame to the cloud and settle what it cost. Ring: adapter (threads).

Sockets belong to forwarder threads; whoever asked waits on a future until its deadline, so that name look-ups,
connects and dripping reads are bounded for it too. There are as many threads as places: when all are taken, the next
frame is answered by the edge at once instead of waiting in a queue.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from edge.decide.decider import Decision
from edge.decide.latency import Latency
from edge.decide.reasons import Reason
from edge.decide.uplink import Uplink
from edge.forward.cloud_client import CloudAnswer, CloudClient, note_failure
from edge.forward.outcome import Outcome
from shared.breaker import Breaker
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import FireError, LinkError, StoreError
from shared.ids import Trace
from shared.logs import get_logger
from shared.picture.imaging import upload_form
from shared.types import Box, Detection, Frame, Picture

_MOST_TIMES_DEARER = 10  # than configured: beyond that it is a mistake or an attack, not a tariff
# Left for fusing and writing the answer, so that the caller's deadline holds.
_ANSWER_MARGIN_S = 0.01


class Books(Protocol):
    """What settling needs of the budget."""

    def refund(self, call_id: str) -> bool:
        """Give back the charge of a call that certainly did not run."""
        ...

    def settle(self, call_id: str, cost_micros: int) -> int:
        """Book what a call really cost, never above the limit; gives what stands in the books then."""
        ...


class _LinkTooThinError(FireError):
    """The token bucket of the link cannot pay for any form of the frame."""


class Forwarder:
    """Owns the forwarder threads, the places and the breaker; safe for use by many threads."""

    def __init__(
        self,
        client: CloudClient,
        *,
        breaker: Breaker,
        books: Books,
        latency: Latency,
        max_in_flight: int,
        uplink: Uplink,
    ) -> None:
        """Start with all places free."""
        self._client = client
        self._breaker = breaker
        self._books = books
        self._latency = latency
        self._uplink = uplink
        self._lock = threading.Lock()
        self._free_places = self._most_places = max_in_flight
        self._running: dict[str, Deadline] = {}
        self._promised: set[Future[Outcome]] = set()
        self._threads = ThreadPoolExecutor(max_workers=max_in_flight, thread_name_prefix="forward")

    @property
    def breaker(self) -> Breaker:
        """Give the breaker, for health and metrics."""
        return self._breaker

    def enter(self, call_id: str, keep_places: int = 0) -> Reason | None:
        """Take a place for one call and leave `keep_places` free for more urgent ones.

        Returns:
            FALLBACK_CLOUD_DOWN or FALLBACK_UPLINK_BUSY when there is none.
        """
        if self._breaker.is_open():
            return Reason.FALLBACK_CLOUD_DOWN
        with self._lock:
            if self._free_places <= min(keep_places, self._most_places - 1):
                return Reason.FALLBACK_UPLINK_BUSY
            self._free_places -= 1
        if not self._breaker.admit(call_id):
            self._release()
            return Reason.FALLBACK_CLOUD_DOWN
        return None

    def expected_s(self) -> float:
        """Tell the median of recent calls; 0 as long as there is none to go by."""
        return self._latency.known_percentile_s(0.5) or 0.0

    def leave(self, call_id: str) -> None:
        """Give back a place whose call was never sent."""
        self._breaker.abandoned(call_id)
        self._release()

    def wait(self, future: Future[Outcome], decision: Decision, deadline: Deadline) -> Outcome:
        """Wait for what `send` promised, at most until the deadline."""
        try:
            return future.result(timeout=max(0.0, deadline.remaining_s() - _ANSWER_MARGIN_S))
        except concurrent.futures.TimeoutError:
            # The thread goes on until its socket is shut at this same deadline; the call may have run, so it is paid.
            return Outcome(
                answer=None,
                reason=Reason.FALLBACK_TIMEOUT,
                charged_micros=decision.charged_micros,
                detail="deadline",
            )

    def send(
        self,
        frame: Frame,
        decision: Decision,
        deadline: Deadline,
        trace: Trace | None = None,
        then: Callable[[Outcome], None] | None = None,
    ) -> Future[Outcome]:
        """Send a frame whose decision took a place; `then` is called from the forwarder thread with the outcome.

        After `stop` nothing is sent: place and charge are given back, and `then` is not called.
        """
        try:
            promised = self._threads.submit(self._run, frame, decision, deadline, trace, then)
        except RuntimeError:  # stopped since the decision
            return self._unsent(decision)
        self._promised.add(promised)
        promised.add_done_callback(self._promised.discard)
        return promised

    def overdue_s(self) -> float:
        """Tell for how long the most overdue call has outlived its deadline; above seconds its thread hangs."""
        running = list(self._running.values())
        return max((d.clock.mono_s() - d.at_mono_s for d in running), default=0.0)

    def stop(self, timeout_s: float) -> None:
        """Send nothing more, and wait for the calls under way; a caller may have given one ten minutes."""
        self._threads.shutdown(wait=False)
        concurrent.futures.wait(tuple(self._promised), timeout_s)
        self._client.close()

    def _release(self) -> None:
        with self._lock:
            self._free_places += 1

    def _unsent(self, decision: Decision) -> Future[Outcome]:
        self.leave(decision.call_id)
        stopping = LinkError(ErrorCode.CLOUD_UNREACHABLE, "the service is stopping")
        outcome = self._failed(decision, stopping, Reason.FALLBACK_CLOUD_DOWN, is_refundable=True)
        promised: Future[Outcome] = Future()
        promised.set_result(outcome)
        return promised

    def _run(
        self,
        frame: Frame,
        decision: Decision,
        deadline: Deadline,
        trace: Trace | None,
        then: Callable[[Outcome], None] | None,
    ) -> Outcome:
        self._running[decision.call_id] = deadline
        try:
            outcome = self._call(frame, decision, deadline, trace)
        finally:
            self._running.pop(decision.call_id, None)
            self._release()
        if then is not None:
            try:
                then(outcome)
            except Exception as err:  # sink call: a listener must not take the forwarder down
                get_logger().error("amendment_failed", frame_id=frame.frame_id, exc_info=err)
        return outcome

    def _call(
        self, frame: Frame, decision: Decision, deadline: Deadline, trace: Trace | None
    ) -> Outcome:
        try:
            sent = self._fit(frame.picture, deadline)
            asked_mono_s = deadline.clock.mono_s()
            answer = self._client.infer(
                sent, call_id=decision.call_id, deadline=deadline, trace=trace
            )
            self._latency.note(deadline.clock.mono_s() - asked_mono_s)
        except LinkError as err:
            note_failure(self._breaker, err, decision.call_id)
            return self._failed(decision, err, _reason_of(err), is_refundable=err.certainly_not_run)
        except _LinkTooThinError as err:
            self._breaker.abandoned(decision.call_id)
            return self._failed(decision, err, Reason.FALLBACK_UPLINK_BUSY, is_refundable=True)
        except FireError as err:  # the frame cannot be scaled: it was never sent
            self._breaker.abandoned(decision.call_id)
            return self._failed(decision, err, Reason.FALLBACK_REFUSED, is_refundable=True)
        # Thread top: whatever a client does, the caller gets the edge's answer.
        except Exception as err:
            self._breaker.failed(decision.call_id)
            get_logger().error("forward_failed", frame_id=frame.frame_id, exc_info=err)
            return self._failed(
                decision,
                FireError(ErrorCode.INTERNAL, str(err)),
                Reason.FALLBACK_BAD_ANSWER,
                is_refundable=False,
            )
        self._breaker.succeeded()
        return Outcome(
            answer=_in_source_pixels(answer, sent, frame.picture),
            reason=decision.reason,
            charged_micros=self._settle(decision, answer.cost_micros),
        )

    def _settle(self, decision: Decision, told_micros: int | None) -> int:
        """Book what the cloud says the call cost; a cloud that asks for far too much is not believed."""
        charged_micros = decision.charged_micros
        if told_micros is None or told_micros == charged_micros:
            return charged_micros
        if told_micros > _MOST_TIMES_DEARER * charged_micros:
            get_logger().error(
                "cost_not_believed", told_micros=told_micros, charged_micros=charged_micros
            )
            return charged_micros
        try:
            return self._books.settle(decision.call_id, told_micros)
        except StoreError as err:
            get_logger().error("settle_failed", call_id=decision.call_id, detail=err.detail)
            return charged_micros

    def _fit(self, picture: Picture, deadline: Deadline) -> Picture:
        """Bring a frame into the best form that the link can carry now, and book its bytes."""
        longest_px = max(picture.width_px, picture.height_px)
        form = self._uplink.choose(len(picture.encoded), longest_px, deadline.remaining_s())
        if form is None:
            detail = f"{len(picture.encoded)} bytes are more than the link can carry now"
            raise _LinkTooThinError(ErrorCode.DEADLINE_MISSED, detail)
        sent = upload_form(picture, long_side_px=form.long_side_px, quality=form.quality)
        self._uplink.spend(len(sent.encoded))
        return sent

    def _failed(
        self, decision: Decision, err: FireError, reason: Reason, *, is_refundable: bool
    ) -> Outcome:
        charged_micros = decision.charged_micros
        if is_refundable:
            try:
                if self._books.refund(decision.call_id):
                    charged_micros = 0
            except StoreError as store_error:
                get_logger().error(
                    "refund_failed", call_id=decision.call_id, detail=store_error.detail
                )
        return Outcome(answer=None, reason=reason, charged_micros=charged_micros, detail=err.detail)


def _reason_of(err: LinkError) -> Reason:
    match err.code:
        case ErrorCode.DEADLINE_MISSED:
            return Reason.FALLBACK_TOO_LATE
        case ErrorCode.CLOUD_TIMEOUT:
            return Reason.FALLBACK_TIMEOUT
        case ErrorCode.CLOUD_OVERLOADED:
            return Reason.FALLBACK_BUSY
        case ErrorCode.CLOUD_REFUSED:
            return Reason.FALLBACK_REFUSED
        case ErrorCode.CLOUD_UNREACHABLE if err.certainly_not_run:
            return Reason.FALLBACK_REFUSED
        case _:
            return Reason.FALLBACK_BAD_ANSWER


def _in_source_pixels(answer: CloudAnswer, sent: Picture, source: Picture) -> CloudAnswer:
    """Scale boxes from the picture that was sent to the frame's own pixels, clipped to it."""
    x, y = source.width_px / sent.width_px, source.height_px / sent.height_px
    width, height = float(source.width_px), float(source.height_px)

    def place(detection: Detection) -> Detection:
        box = detection.box
        x1, x2 = sorted((min(max(box.x1 * x, 0.0), width), min(max(box.x2 * x, 0.0), width)))
        y1, y2 = sorted((min(max(box.y1 * y, 0.0), height), min(max(box.y2 * y, 0.0), height)))
        return replace(detection, box=Box(x1=x1, y1=y1, x2=x2, y2=y2))

    return replace(answer, detections=tuple(place(d) for d in answer.detections))

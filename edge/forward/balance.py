"""Several clouds as one: the quickest whose breaker lets calls through, the next when it fails. Ring: domain.

Everything stays inside one deadline; the call keeps one id, so that it is paid once however many clouds were tried.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.decide.latency import Latency, LatencyBin
from edge.forward.cloud_client import CloudAnswer, CloudClient, no_time_left, note_failure
from shared.breaker import Breaker, BreakerSettings, BreakerState
from shared.clock import Clock
from shared.deadline import Deadline
from shared.error_code import ErrorCode
from shared.errors import LinkError
from shared.ids import Trace
from shared.types import Picture

_LEAST_TRY_S = 0.05  # a cloud that would get less time than this is not asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One cloud: its base URL, and its rank; a higher rank is asked only when all lower ones are out."""

    url: str
    rank: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """How one cloud is: its breaker, and the median of its recent calls in seconds, None without any."""

    url: str
    rank: int
    breaker: BreakerState
    median_s: float | None


class _Cloud:
    """One cloud with what is known of it."""

    def __init__(self, client: CloudClient, settings: BreakerSettings, clock: Clock) -> None:
        self.client = client
        self.breaker = Breaker(settings, clock)
        self.latency = Latency(clock)
        self.users = 0
        self.is_gone = False


class BalancedClient:
    """Asks the least latent of several clouds; safe for use by many threads.

    A cloud without recent calls counts as quick, so that each is tried again once its measurements are old.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        build: Callable[[str], CloudClient],
        breaker: BreakerSettings,
        clock: Clock,
    ) -> None:
        """Prepare a client for each endpoint.

        Args:
            endpoints: in order of preference; may be empty until `update` brings some.
            build: makes the client of one base URL, which tries once a call.
            breaker: when to leave a cloud alone, and when to try it again.
            clock: of breakers and latencies.
        """
        self._build = build
        self._breaker = breaker
        self._clock = clock
        self._lock = threading.Lock()
        self._clouds: dict[Endpoint, _Cloud] = {}
        self.update(endpoints)

    def update(self, endpoints: Sequence[Endpoint]) -> None:
        """Take up the clouds that are known now; one that stays keeps what was learnt of it."""
        wanted = dict.fromkeys(endpoints)
        with self._lock:
            known = {endpoint.url: cloud for endpoint, cloud in self._clouds.items()}
            self._clouds = {
                e: known.pop(e.url) if e.url in known else self._new(e.url) for e in wanted
            }
            idle = []
            for cloud in known.values():
                cloud.is_gone = True
                if not cloud.users:
                    idle.append(cloud)
        for cloud in idle:
            cloud.client.close()

    def states(self) -> tuple[EndpointState, ...]:
        """Tell how each cloud is."""
        with self._lock:
            clouds = list(self._clouds.items())
        return tuple(
            EndpointState(
                url=endpoint.url,
                rank=endpoint.rank,
                breaker=cloud.breaker.state,
                median_s=cloud.latency.known_percentile_s(0.5),
            )
            for endpoint, cloud in clouds
        )

    def histories(self) -> dict[str, tuple[LatencyBin, ...]]:
        """Tell how quick each cloud was in the last hour, by its URL."""
        with self._lock:
            clouds = {endpoint.url: cloud for endpoint, cloud in self._clouds.items()}
        return {url: cloud.latency.history() for url, cloud in clouds.items()}

    def infer(
        self, picture: Picture, *, call_id: str, deadline: Deadline, trace: Trace | None
    ) -> CloudAnswer:
        """Ask the best cloud, and the others in turn as long as one fails and time is left."""
        failure: LinkError | None = None
        may_have_run = False
        for cloud in self._in_order():
            if deadline.remaining_s() < _LEAST_TRY_S:
                failure = failure or no_time_left()
                break
            if not cloud.breaker.admit(call_id):
                continue
            try:
                return self._ask(cloud, picture, call_id, deadline, trace)
            except LinkError as err:
                may_have_run = may_have_run or not err.certainly_not_run
                err.certainly_not_run = not may_have_run
                failure = err
                if err.code is ErrorCode.CLOUD_REFUSED:
                    break  # the picture is the matter, another cloud would say the same
        if failure is not None:
            raise failure
        detail = "no cloud is known" if not self._clouds else "every cloud is being left alone"
        raise LinkError(ErrorCode.CLOUD_UNREACHABLE, detail, certainly_not_run=True)

    def report(self, body: bytes, deadline: Deadline) -> None:
        """Tell every cloud, each in its share of the time: each has a page of its fleet, and may be asked next.

        Raises:
            LinkError: none of them heard it.
        """
        with self._lock:
            clients = [cloud.client for cloud in self._clouds.values()]
        failure = LinkError(ErrorCode.CLOUD_UNREACHABLE, "no cloud is known")
        heard = 0
        for number, client in enumerate(clients):
            share_s = deadline.remaining_s() / (len(clients) - number)
            try:
                client.report(body, Deadline.after(share_s, self._clock))
                heard += 1
            except LinkError as err:
                failure = err
        if not heard:
            raise failure

    def close(self) -> None:
        """Close all clients."""
        self.update(())

    def _ask(
        self,
        cloud: _Cloud,
        picture: Picture,
        call_id: str,
        deadline: Deadline,
        trace: Trace | None,
    ) -> CloudAnswer:
        asked_mono_s = self._clock.mono_s()
        with self._lock:
            cloud.users += 1
        try:
            answer = cloud.client.infer(picture, call_id=call_id, deadline=deadline, trace=trace)
        except LinkError as err:
            note_failure(cloud.breaker, err, call_id)
            raise
        finally:
            self._leave(cloud)
        cloud.breaker.succeeded()
        cloud.latency.note(self._clock.mono_s() - asked_mono_s)
        return answer

    def _leave(self, cloud: _Cloud) -> None:
        with self._lock:
            cloud.users -= 1
            is_last = cloud.is_gone and not cloud.users
        if is_last:
            cloud.client.close()

    def _in_order(self) -> list[_Cloud]:
        """Order by rank, then by the median of recent calls, the one with fewer calls at work first among equals."""
        with self._lock:
            clouds = [(e.rank, cloud, cloud.users) for e, cloud in self._clouds.items()]
        keyed = [
            ((rank, cloud.latency.known_percentile_s(0.5) or 0.0, users), cloud)
            for rank, cloud, users in clouds
        ]
        return [cloud for _, cloud in sorted(keyed, key=lambda pair: pair[0])]

    def _new(self, url: str) -> _Cloud:
        return _Cloud(self._build(url), self._breaker, self._clock)

"""The cloud service: builds its parts, starts them, stops them. Ring: rim.

Together with `house_wiring` the only place that builds adapters.
"""

from __future__ import annotations

from functools import partial

from cloud.app import AppParts, build_app
from cloud.config import CloudSettings
from cloud.engine import House
from cloud.fleet.fleet import Fleet
from cloud.fleet.keys import KeyRing
from cloud.gate import CloudGate, must_sign, refuse_open_door
from cloud.house_wiring import build_callbacks, build_house, build_state, prepare_process
from cloud.kept_state import MirroredSessions
from cloud.metrics import CloudMetrics
from cloud.model.gpu import GpuMemoryCollector
from cloud.registration import Registration, build_registration
from cloud.troubles import store_failing
from shared.access.auth import Verifier
from shared.access.users import Users
from shared.clock import Clock, SystemClock
from shared.deadline import Deadline
from shared.logs import get_logger
from shared.metrics import set_build_info
from shared.version import commit, version
from shared.watch.supervise import Supervisor
from shared.web.serve import WebServer

_TELL_SHARE = 0.1  # of the stop's time, for telling whose jobs were done last, or not any more
_LAST_ANSWERS_S = 0.2  # for the bytes of the last answers, when the stop's time is spent
_LOOP_SILENT_S = 15.0  # it turns at least once a second


class CloudService:
    """The running service: `start` answers at once and is ready when the model is; `stop` finishes accepted work."""

    def __init__(self, settings: CloudSettings, clock: Clock | None = None) -> None:
        """Bind the ports; the model is loaded by `start`.

        Raises:
            ConfigError: a port is taken, or anybody could ask and nobody said that this is meant.
            ModelError(RUNTIME_CONFLICT)
        """
        prepare_process()
        self._settings = settings
        self._clock = clock or SystemClock()
        self._is_stopped = False
        self._registration: Registration | None = None
        self._supervisor = Supervisor(self._clock)
        self._state = build_state(settings, self._clock)
        self._fleet = Fleet(self._clock, self._state)
        self._metrics = self._build_metrics()
        self._callbacks = build_callbacks(
            settings, self._clock, self._supervisor, self._metrics.callback
        )
        self.house: House = build_house(
            settings, self._clock, self._metrics, self._callbacks, self._supervisor
        )
        self._gate = self._build_gate()
        parts = AppParts(
            settings=settings,
            clock=self._clock,
            house=self.house,
            metrics=self._metrics,
            fleet=self._fleet,
            gate=self._gate,
            supervisor=self._supervisor,
        )
        self.app = build_app(parts)
        self._servers = self._build_servers()
        self._add_rules()

    @property
    def port(self) -> int:
        """Tell the port that was bound."""
        return self._servers[0].port

    def start(self) -> None:
        """Answer health at once, then load the model.

        Raises:
            ModelError: the model is missing or was refused.
        """
        for number, server in enumerate(self._servers):
            self._supervisor.watch(_loop(number), allowed_s=_LOOP_SILENT_S, is_vital=True)
            server.start()
        self.house.start()
        self._registration = build_registration(self._settings, self.port, self._supervisor)
        if self._registration:
            self._registration.start()
        self._supervisor.start()
        get_logger().info("cloud_ready", port=self.port, models=self.house.models())

    def stop(self) -> None:
        """Refuse new pictures, finish accepted ones, jobs among them, then close the ports; once is enough."""
        if self._is_stopped:
            return
        self._is_stopped = True
        timeout = Deadline.after(self._settings.server.stop_timeout_s, self._clock)
        self._supervisor.stopping()
        if self._registration:
            self._registration.stop()
        self.house.stop(timeout.earlier(_TELL_SHARE * timeout.remaining_s()))
        self._callbacks.stop(timeout.remaining_s())
        for server in self._servers:
            server.stop(max(_LAST_ANSWERS_S, timeout.remaining_s()))
        self._fleet.save()
        self._state.close()
        self._gate.close()
        self._keys.close()
        get_logger().info("cloud_stopped")

    def _build_metrics(self) -> CloudMetrics:
        metrics = CloudMetrics(lambda: self.house.waiting())
        metrics.add_fleet(self._fleet)
        metrics.add_troubles(self._supervisor.active)
        set_build_info(metrics.registry, "fire_cloud", version(), commit())
        if self._settings.model.device == "cuda":
            metrics.registry.register(GpuMemoryCollector(self._clock))
        return metrics

    def _build_gate(self) -> CloudGate:
        settings, clock = self._settings, self._clock
        self._keys = KeyRing(settings.keys_path, clock)
        users = Users(settings.users_path, clock)
        refuse_open_door(settings, self._keys, users)
        return CloudGate(
            settings,
            users=users,
            keys=self._keys,
            verifier=Verifier(self._keys.keys_of, self.house.nonces, clock),
            must_sign=partial(must_sign, settings, self._keys),
            sessions=MirroredSessions(self._state),
            clock=clock,
        )

    def _build_servers(self) -> list[WebServer]:
        first = self._settings.server
        sections = [first]
        if first.reference_port:
            sections.append(first.model_copy(update={"port": first.reference_port}))
        return [
            WebServer(self.app, section, partial(self._supervisor.beat, _loop(number)))
            for number, section in enumerate(sections)
        ]

    def _add_rules(self) -> None:
        now_at = self._clock.now_at
        self._supervisor.add_rule(lambda: self.house.troubles(now_at()))
        self._supervisor.add_rule(lambda: self._callbacks.troubles(now_at()))
        self._supervisor.add_rule(
            lambda: [store_failing(why, now_at())] if (why := self._state.trouble) else []
        )
        self._supervisor.add_rule(lambda: self._gate.users.troubles(now_at()))
        self._supervisor.add_rule(lambda: self._keys.troubles(now_at()))
        self._supervisor.add_rule(
            lambda: self._registration.troubles(now_at()) if self._registration else ()
        )


def _loop(number: int) -> str:
    """Name the loop of a port, the service's own first, the reference port's second."""
    return "reference-loop" if number else "web-loop"

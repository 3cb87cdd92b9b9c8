"""Wires the cloud service together; the only place that builds adapters. Ring: rim."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, assert_never

import cv2
from flask import Flask, Response, g, request

from cloud.answer import Answer
from cloud.callbacks import Callbacks, callback_body
from cloud.config import AuthMode, CloudSettings, EngineKind
from cloud.edge_model import EdgeModelShelf
from cloud.engine import House, Inspected
from cloud.fleet import Fleet
from cloud.fleet_routes import add_fleet_routes
from cloud.gate import CloudGate
from cloud.gpu import GpuMemoryCollector
from cloud.idempotency import Claim
from cloud.job_routes import add_job_routes
from cloud.job_runner import Order, RunnerSettings
from cloud.jobs import JobState
from cloud.keyed import Keyed
from cloud.keys import KeyRing
from cloud.local_house import HouseSettings, LocalHouse, Reports
from cloud.metrics import CloudMetrics
from cloud.model_routes import add_model_routes
from cloud.model_slot import SlotSettings, detector_slot
from cloud.registration import Registered, Registration
from cloud.routes import REFERENCE_ROUTE, add_routes
from cloud.ui.kit import ConsoleParts
from cloud.ui.views import add_console
from shared import web
from shared.auth import Verifier
from shared.clock import Clock, SystemClock
from shared.config import read_secret
from shared.deadline import Deadline
from shared.detector import Detector, Running
from shared.docs_routes import add_docs_routes
from shared.error_code import ErrorCode
from shared.errors import ConfigError, FireError, ModelError
from shared.inference import refuse_two_runtimes
from shared.login import add_login_routes
from shared.logs import get_logger
from shared.manifest import shipped_models
from shared.metrics import set_build_info
from shared.rate_limit import RateLimit
from shared.serve import WebServer
from shared.startup import keep_freed_memory
from shared.terminal import wait_for_stop
from shared.types import Picture
from shared.users import Users
from shared.version import commit, version

_REDIS_MISSING = "engine.kind redis needs the package: pip install 'emberlink[redis]'"
_TRACEPARENT_CHARACTERS = 55
_LAST_ANSWERS_S = 0.2  # for the bytes of the last answers, when the stop's time is spent


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
        self._rate = RateLimit(self._clock, per_s=settings.rate.per_s, burst=settings.rate.burst)
        self._fleet = Fleet(self._clock)
        self._metrics = CloudMetrics(lambda: self.house.waiting())
        self._metrics.add_fleet(self._fleet)
        set_build_info(self._metrics.registry, "fire_cloud", version(), commit())
        if settings.model.device == "cuda":
            self._metrics.registry.register(GpuMemoryCollector(self._clock))
        self._callbacks = build_callbacks(settings, self._clock, self._metrics)
        self.house: House = build_house(settings, self._clock, self._metrics, self._callbacks)
        self._keys = KeyRing(settings.keys_path, self._clock)
        self._users = Users(settings.users_path, self._clock)
        refuse_open_door(settings, self._keys, self._users)
        self.app = self._build_app()
        self._servers = [WebServer(self.app, settings.server)]
        if settings.server.reference_port:
            second = settings.server.model_copy(update={"port": settings.server.reference_port})
            self._servers.append(WebServer(self.app, second))

    @property
    def port(self) -> int:
        """Tell the port that was bound."""
        return self._servers[0].port

    def start(self) -> None:
        """Answer health at once, then load the model.

        Raises:
            ModelError: the model is missing or was refused.
        """
        for server in self._servers:
            server.start()
        self.house.start()
        self._registration = build_registration(self._settings, self.port)
        if self._registration:
            self._registration.start()
        get_logger().info("cloud_ready", port=self.port, models=self.house.models())

    def stop(self) -> None:
        """Refuse new pictures, finish accepted ones, jobs among them, then close the ports; once is enough."""
        if self._is_stopped:
            return
        self._is_stopped = True
        timeout = Deadline.after(self._settings.server.stop_timeout_s, self._clock)
        if self._registration:
            self._registration.stop()
        self.house.stop(timeout)
        if self._callbacks:
            self._callbacks.stop(timeout.remaining_s())
        for server in self._servers:
            server.stop(max(_LAST_ANSWERS_S, timeout.remaining_s()))
        self._gate.audit.close()
        get_logger().info("cloud_stopped")

    def deadline_in(self, milliseconds: int | None) -> Deadline:
        """Set a deadline, the configured one for None."""
        chosen_ms = self._settings.engine.deadline_ms if milliseconds is None else milliseconds
        return Deadline.after(chosen_ms / 1000, self._clock)

    def job_deadline_in(self, milliseconds: int | None) -> Deadline:
        """Set a job's deadline, the configured one for None."""
        default_s = self._settings.jobs.deadline_s
        seconds = default_s if milliseconds is None else milliseconds / 1000
        return Deadline.after(seconds, self._clock)

    def knock(self, caller: str, *, needs_place: bool) -> None:
        """Refuse before a body is parsed, see `cloud.routes.Door`."""
        with self._counting_refusals():
            self._rate.take(caller)
            if needs_place:
                self.house.refuse_if_full(caller)

    def count_more(self, caller: str, count: int) -> None:
        """Count further pictures of one call against the caller's rate, see `cloud.routes.Door`."""
        with self._counting_refusals():
            if count:
                self._rate.take(caller, count)

    def inspect(
        self, picture: Picture, deadline: Deadline, *, caller: str, claim: Claim | None = None
    ) -> Inspected:
        """Run one picture through the house, see `House.inspect`."""
        with self._counting_refusals():
            return self.house.inspect(picture, deadline, caller=caller, claim=claim)

    def inspect_many(
        self, pictures: Sequence[Picture], deadline: Deadline, *, caller: str
    ) -> list[Inspected | FireError]:
        """Run several pictures, see `House.inspect_many`."""
        with self._counting_refusals():
            return self.house.inspect_many(pictures, deadline, caller=caller)

    def submit(
        self, picture: Picture, deadline: Deadline, *, owner: str, callback_url: str | None
    ) -> str:
        """Accept a job, see `House.submit`."""
        with self._counting_refusals():
            return self.house.submit(picture, deadline, owner=owner, callback_url=callback_url)

    @contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        try:
            yield
        except FireError as err:
            self._metrics.refused(err)
            raise

    def _build_app(self) -> Flask:
        settings, house = self._settings, self.house
        operations = web.Operations(
            checks=self._checks, version=self._version, registry=self._metrics.registry
        )
        app = web.create_app(
            "cloud",
            server=settings.server,
            clock=self._clock,
            operations=operations,
            reference_route=REFERENCE_ROUTE,
        )
        verifier = Verifier(self._keys.keys_of, house.nonces, self._clock)
        self._gate = CloudGate(
            settings,
            users=self._users,
            keys=self._keys,
            verifier=verifier,
            must_sign=lambda: must_sign(settings, self._keys),
            clock=self._clock,
        )
        self._gate.install(app)
        add_login_routes(app, self._gate, self._clock)
        add_docs_routes(app, "Emberlink cloud", self._gate.rules, is_signed=True)
        spare = (settings.server.threads - settings.engine.places) // 2
        keyed = Keyed(house.answers, seats=max(1, spare))
        add_routes(app, self, keyed, settings)
        add_model_routes(app, house, EdgeModelShelf(settings.models or shipped_models()))
        add_fleet_routes(app, self._fleet)
        parts = ConsoleParts(
            house=house,
            fleet=self._fleet,
            metrics=self._metrics,
            settings=settings,
            clock=self._clock,
        )
        add_console(app, self, parts)
        add_job_routes(app, self, house.jobs, keyed, settings)
        app.after_request(self._count)
        return app

    def _count(self, response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "unknown"
        self._metrics.requests.labels(route, str(response.status_code)).inc()
        is_refusal = response.status_code in (429, 503)  # counted; a line each would be a flood
        if self._settings.log.requests and request.method == "POST" and not is_refusal:
            get_logger().info(
                "request",
                req_id=g.get("req_id"),
                job_id=g.get("job_id"),
                route=route,
                status=response.status_code,
                edge=g.get("edge_id"),
                ms={stage: round(ms, 1) for stage, ms in g.get("stage_ms", {}).items()},
                traceparent=request.headers.get("traceparent", "")[:_TRACEPARENT_CHARACTERS],
            )
        return response

    def _checks(self) -> Mapping[str, web.Check]:
        trouble = self.house.trouble()
        if trouble is not None:
            return {"model": web.Check(state=web.CheckState.FAILED, text=trouble)}
        text = ", ".join(
            f"{m['name']} {m['version']} on {m['providers'][0]}" for m in self.house.models()
        )
        doubts = {str(m["doubt"]) for m in self.house.models() if m["doubt"]}
        if doubts:
            return {"model": web.Check(state=web.CheckState.DEGRADED, text="; ".join(doubts))}
        return {"model": web.Check(state=web.CheckState.OK, text=text)}

    def _version(self) -> Mapping[str, Any]:
        models = self.house.models()
        named = (
            {key: models[0][key] for key in ("name", "version", "sha256_12")} if models else None
        )
        return {
            "name": "emberlink-cloud",
            "version": version(),
            "commit": commit(),
            "model": named,
            "limits": {
                **self._settings.limits.model_dump(),
                "formats": ["image/jpeg", "image/png"],
            },
        }


def prepare_process() -> None:
    """Set up what is the process's: one runtime, memory that is kept, OpenCV without threads of its own.

    Raises:
        ModelError(RUNTIME_CONFLICT)
    """
    refuse_two_runtimes()
    keep_freed_memory()
    cv2.setNumThreads(1)  # parallelism comes from frames, not from inside one


def build_house(
    settings: CloudSettings, clock: Clock, metrics: CloudMetrics, callbacks: Callbacks | None
) -> House:
    """Build the engine that the settings name."""

    def job_finished(order: Order, answer: Answer) -> None:
        state = JobState.DONE if answer.error is None else JobState.FAILED
        metrics.job_finished(state)
        if answer.error is not None:
            metrics.refused(FireError(answer.error, answer.detail))
        get_logger().info("job_finished", job_id=order.job_id, state=state.value)
        if order.callback_url and callbacks:
            body = callback_body(order.job_id, state, answer)
            callbacks.send(order.job_id, order.callback_url, body)

    def model_changed(detector: Detector) -> None:
        metrics.set_model(detector.identity)

    reports = Reports(
        batch=metrics.observe_batch,
        stages=metrics.observe_stages,
        model=model_changed,
        job=job_finished,
    )

    def local_house() -> LocalHouse:
        return LocalHouse(house_settings(settings), slot_settings(settings, clock), clock, reports)

    match settings.engine.kind:
        case EngineKind.LOCAL:
            return local_house()
        case EngineKind.REDIS:
            try:  # here, since the redis package comes with an extra of its own
                from cloud.redis_house import FrontSettings, RedisHouse
                from cloud.redis_link import Bound
                from cloud.redis_wiring import build_link
            except ImportError as err:
                raise ConfigError(ErrorCode.CONFIG_INVALID, _REDIS_MISSING) from err

            front = FrontSettings(
                places=settings.engine.places,
                jobs=Bound(
                    pictures=settings.jobs.max_waiting, bytes=settings.jobs.max_waiting_bytes
                ),
                ttl_s=settings.jobs.ttl_s,
            )
            fallback = local_house() if settings.redis.fallback else None
            return RedisHouse(front, build_link(settings, clock), clock, fallback)
        case _:
            assert_never(settings.engine.kind)


def run_worker(settings: CloudSettings) -> None:
    """Run a worker of the Redis engine until a signal; the batch that runs then is finished.

    Raises:
        ConfigError: the redis package is missing.
        ModelError: the model is missing or was refused.
    """
    try:
        from cloud.redis_wiring import build_worker
    except ImportError as err:
        raise ConfigError(ErrorCode.CONFIG_INVALID, _REDIS_MISSING) from err
    prepare_process()
    clock = SystemClock()
    metrics = CloudMetrics(lambda: {"queue": 0, "jobs": 0})
    callbacks = build_callbacks(settings, clock, metrics)
    slot = detector_slot(slot_settings(settings, clock))
    slot.load()
    if settings.model.watch_s:
        slot.watch(settings.model.watch_s)
    worker = build_worker(settings, slot, clock, callbacks)
    thread = threading.Thread(target=worker.run, name="worker")
    thread.start()
    wait_for_stop(worker.is_stopping)
    worker.stop()
    thread.join(settings.server.stop_timeout_s)
    slot.stop()
    if callbacks:
        callbacks.stop(_LAST_ANSWERS_S)
    get_logger().info("worker_stopped")
    trouble = slot.current.trouble if slot.current else None
    if trouble:
        raise ModelError(ErrorCode.MODEL_FAILED, trouble)  # an exit status that systemd restarts


def check_redis(settings: CloudSettings) -> None:
    """Ask Redis for an answer.

    Raises:
        ConfigError: the redis package is missing.
        FireError(ENGINE_UNAVAILABLE)
    """
    try:
        from cloud.redis_wiring import build_link
    except ImportError as err:
        raise ConfigError(ErrorCode.CONFIG_INVALID, _REDIS_MISSING) from err
    link = build_link(settings, SystemClock())
    link.prepare()
    link.close()


def house_settings(settings: CloudSettings) -> HouseSettings:
    """Take the bounds of one process from the settings."""
    jobs = settings.jobs
    return HouseSettings(
        places=settings.engine.places,
        max_batch=settings.max_batch,
        runners=RunnerSettings(
            runners=jobs.runners,
            max_waiting=jobs.max_waiting,
            max_waiting_bytes=jobs.max_waiting_bytes,
        ),
        ttl_s=jobs.ttl_s,
        max_kept=jobs.max_kept,
        watch_s=settings.model.watch_s,
        cost=float(settings.cost_per_call),
    )


def slot_settings(settings: CloudSettings, clock: Clock) -> SlotSettings:
    """Take what concerns the model from the settings."""
    return SlotSettings(
        models=settings.models or shipped_models(),
        name=settings.model.name,
        variant=settings.model.variant,
        running=Running(
            device=settings.model.device,
            threads=settings.model.threads,
            decoders=settings.engine.decoders,
            max_batch=settings.max_batch,
            allow_cpu=settings.model.allow_cpu,
        ),
        clock=clock,
    )


def build_registration(settings: CloudSettings, port: int) -> Registration | None:
    """Prepare to tell Consul where this cloud is, where that is configured."""
    consul = settings.consul
    if not (consul.url and consul.address):
        return None
    return Registration(
        Registered(
            agent_url=consul.url,
            service=consul.service,
            address=consul.address,
            port=consul.port or port,
            tags=consul.tags,
            is_tls=consul.tls,
            token=read_secret(consul.token_file) if consul.token_file else None,
        )
    )


def build_callbacks(
    settings: CloudSettings, clock: Clock, metrics: CloudMetrics
) -> Callbacks | None:
    """Build what calls the callers' servers; None when no address is allowed."""
    wanted = settings.callbacks
    if not wanted.allowed or wanted.key is None:
        return None
    return Callbacks(
        clock,
        key=wanted.key.get_secret_value().encode(),
        tries=wanted.tries,
        timeout_s=wanted.timeout_s,
        count=metrics.callback,
    )


def must_sign(settings: CloudSettings, keys: KeyRing) -> bool:
    """Decide whether requests must be signed; a key that is made while the service runs counts at once."""
    match settings.auth.mode:
        case AuthMode.SIGNED:
            return True
        case AuthMode.OPEN:
            return False
        case AuthMode.AUTO:
            return keys.has_edges or not settings.is_local
        case _:
            assert_never(settings.auth.mode)


def refuse_open_door(settings: CloudSettings, keys: KeyRing, users: Users) -> None:
    """Stop a service that the network can reach, that knows nobody, and of which nobody said that this is meant.

    Raises:
        ConfigError(CONFIG_INVALID)
    """
    is_known = keys.has_edges or not users.book().is_empty
    if settings.auth.mode is AuthMode.AUTO and not settings.is_local and not is_known:
        detail = (
            f"server.host is {settings.server.host}, and no edge has a key: make one with "
            '`emberlink-cloud keys new EDGE`, listen on 127.0.0.1, or set auth.mode = "open"'
        )
        raise ConfigError(ErrorCode.CONFIG_INVALID, detail)

"""The WSGI server: waitress, immune to slow clients, with our envelope for what never reaches Flask. Ring: adapter.

Measured on 90 half-sent requests: waitress answers `/healthz` in 10–14 ms, since one loop reads all sockets and a
thread is taken only for a whole request.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver, FixedStreamReceiver
from waitress.task import ErrorTask, ThreadedTaskDispatcher, WSGITask
from waitress.trigger import trigger
from waitress.utilities import BadRequest

from shared.clock import SystemClock
from shared.config import ServerSection
from shared.error_code import ErrorCode, by_http_status
from shared.errors import ConfigError, FireError
from shared.ids import new_id
from shared.logs import get_logger
from shared.web.arguments import problem
from shared.web.connections import Connection, Listener, most_connections

# A 150 kB picture in one read; smaller costs a turn of the loop each, larger costs memory while reading.
_RECV_BYTES = 256 * 1024
_IN_MEMORY_BYTES = 4 * 1024 * 1024  # bodies above this go to a temporary file
_NO_LIMIT = 1_000_000  # of waitress, which would take nobody in any more; the listener has its own
_PROXY_HEADERS = {"x-forwarded-for", "x-forwarded-proto"}
_IDLE_S = 60  # half-sent requests and answers that nobody reads are dropped after this
_CHUNKED_STEP_BYTES = 4096
_MOST_BETWEEN_CHUNKS_BYTES = 8192  # extensions and trailers, which nobody here reads
WAITED_S = "emberlink.waited_s"
"""Names in a request's environment how long it waited, whole, for a thread; in seconds."""
_LIGHT_PATHS = frozenset({"/health", "/healthz", "/readyz", "/metrics", "/version"})
_LIGHT_THREADS = 2  # a scrape of some ms must not hold up a health check


class _EnvelopeErrorTask(ErrorTask):  # type: ignore[misc] # waitress has no types
    """Answers what is not even HTTP with the envelope instead of waitress' plain text."""

    def execute(self) -> None:
        """Write the answer and close."""
        error = self.request.error
        fire_error = FireError(by_http_status(error.code), str(error.body)[:200])
        body = problem(new_id(SystemClock().now_at()), fire_error, instance="")
        encoded = json.dumps({**body, "status": error.code}, ensure_ascii=False).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.response_headers.append(("X-Request-ID", body["req_id"]))
        self.set_close_on_finish()
        self.content_length = len(encoded)
        self.write(encoded)


class _Body:
    """A body of known length in memory; one that came in one piece is handed on as it is, without a copy."""

    error = None

    def __init__(self, length: int) -> None:
        self._missing = length
        self._received: bytes | bytearray = b""

    @property
    def completed(self) -> bool:
        return self._missing == 0

    def received(self, data: bytes) -> int:
        part = data[: self._missing]
        self._missing -= len(part)
        if self._received:
            self._received += part
        else:
            self._received = part if self.completed else bytearray(part)
        return len(part)

    def getfile(self) -> io.BytesIO:
        return io.BytesIO(self._received)

    def getbuf(self) -> _Body:
        return self

    def close(self) -> None:
        self._received = b""


class _Chunks(ChunkedReceiver):  # type: ignore[misc] # waitress has no types
    """Takes a chunked body in small steps.

    waitress copies all that it was given for every chunk in it, and what stands between chunks for all that follows:
    0.5 s of its loop, which serves everybody, for 256 kB of single bytes; so 0.07 s.
    """

    error: Any = None

    def received(self, data: bytes) -> int:
        taken = 0
        while taken < len(data) and not (self.completed or self.error):
            taken += int(super().received(data[taken : taken + _CHUNKED_STEP_BYTES]))
            if len(self.control_line) + len(self.trailer) > _MOST_BETWEEN_CHUNKS_BYTES:
                self.error = BadRequest("Chunk extension or trailer too long")
        return taken


class _Parser(HTTPRequestParser):  # type: ignore[misc] # waitress has no types
    whole_mono_s: float | None = None

    def received(self, data: bytes) -> int:
        taken = int(super().received(data))
        if self.completed and self.whole_mono_s is None:
            self.whole_mono_s = time.monotonic()
        return taken

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if (
            self.chunked and "CONTENT_LENGTH" in self.headers
        ):  # a proxy may have read it the other way: smuggling
            raise ParsingError("Content-Length and Transfer-Encoding exclude each other")
        is_of_known_length = isinstance(self.body_rcv, FixedStreamReceiver)
        if is_of_known_length and self.content_length <= _IN_MEMORY_BYTES:
            self.body_rcv: Any = _Body(self.content_length)
        if isinstance(self.body_rcv, ChunkedReceiver):
            self.body_rcv = _Chunks(self.body_rcv.buf)


class _Task(WSGITask):  # type: ignore[misc] # waitress has no types
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        if self.request.whole_mono_s is not None:
            environ[WAITED_S] = time.monotonic() - self.request.whole_mono_s
        return environ

    def write(self, data: bytes) -> None:
        """Send head and body of an answer that is ready as a whole in one packet instead of two."""
        is_whole = self.complete and self.content_length == len(data) > 0
        if self.wrote_header or not is_whole or not self.has_body:
            super().write(data)
            return
        head = self.build_response_header()
        self.wrote_header: bool = True
        self.content_bytes_written = len(data)
        self.channel.write_soon(head + data)


class _Channel(Connection):
    parser_class = _Parser
    task_class = _Task
    error_task_class = _EnvelopeErrorTask


class _Threads(ThreadedTaskDispatcher):  # type: ignore[misc] # waitress has no types
    """Gives a request to the thread that was busy last, whose memory is still in the CPU's caches.

    waitress' own takes the thread that was idle longest, so that a quiet service wanders through all of them. The
    queue of requests that wait for a thread is bounded by the number of connections.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self._idle: list[_Seat] = []
        self.set_thread_count(count)

    def add_task(self, task: Any) -> None:
        with self.lock:
            if not self._idle:
                self.queue.append(task)
                return
            seat = self._idle.pop()
        seat.give(task)

    def handler_thread(self, thread_no: int) -> None:
        seat = _Seat()
        while (task := self._next(seat)) is not None:
            try:
                task.service()
            except Exception as err:  # thread top
                get_logger().error("request_thread_failed", exc_info=err)
        with self.lock:
            self.threads.discard(thread_no)
            self.thread_exit_cv.notify()

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:
        """Let the threads finish what is queued, at most for `timeout` seconds, and end."""
        with self.lock:
            count = len(self.threads)
        for _ in range(count):
            self.add_task(None)
        with self.lock:
            return bool(self.thread_exit_cv.wait_for(lambda: not self.threads, timeout))

    def _next(self, seat: _Seat) -> Any:
        with self.lock:
            if self.queue:
                return self.queue.popleft()
            self._idle.append(seat)
        return seat.wait()


class _Seat:
    """Where an idle thread waits for one task."""

    def __init__(self) -> None:
        self._task: Any = None
        self._given = threading.Lock()
        self._given.acquire()

    def give(self, task: Any) -> None:
        self._task = task
        self._given.release()

    def wait(self) -> Any:
        self._given.acquire()
        task, self._task = self._task, None
        return task


class _Lanes:
    """Threads for pictures and pages, and some apart for health: a service under full load is not a dead one."""

    def __init__(self, count: int) -> None:
        self._all = _Threads(count)
        self._light = _Threads(_LIGHT_THREADS)

    def add_task(self, channel: Any) -> None:
        is_light = getattr(channel.requests[0], "path", "") in _LIGHT_PATHS
        (self._light if is_light else self._all).add_task(channel)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:
        has_ended = self._all.shutdown(cancel_pending, timeout)
        return self._light.shutdown(cancel_pending, timeout) and has_ended


class _Trigger(trigger):  # type: ignore[misc]  # waitress has no types
    """What wakes the loop: a pull after its end does nothing.

    A thread that still answers when the server has closed would else write to a closed pipe, or to a file that has been
    given its number since.
    """

    def __init__(self, map: dict[int, Any]) -> None:
        self._open = threading.Lock()
        super().__init__(map)

    def close(self) -> None:
        with self._open:
            super().close()

    def _physical_pull(self) -> None:
        with self._open:
            if not self._closed:
                super()._physical_pull()


class WebServer:
    """Serves one WSGI application from its own loop thread until stopped."""

    def __init__(
        self, app: Any, settings: ServerSection, beat: Callable[[], None] = lambda: None
    ) -> None:
        """Bind the port; nothing is answered before `start`. `beat` is called in every turn of the loop.

        Raises:
            ConfigError(CONFIG_INVALID): the address cannot be bound, with the reason.
        """
        # Queue depth is a metric, not a log line.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        try:
            address = _first_address(settings.host, settings.port)
            self._server = self._create(app, settings, address)
        except OSError as err:
            detail = f"cannot listen on {settings.host}:{settings.port}: {err.strerror or err}"
            hint = "; another program has the port: `ss -ltnp` names it" if err.errno == 98 else ""
            raise ConfigError(ErrorCode.CONFIG_INVALID, detail + hint) from err
        self._beat = beat
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="web-loop", daemon=True)

    @property
    def port(self) -> int:
        """Tell the port that was bound."""
        return int(self._server.effective_port)

    def start(self) -> None:
        """Begin to answer."""
        self._server.accept_connections()
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Take no new connection, let running requests end, close what is left after `timeout_s`."""
        is_closed_to_new = threading.Event()
        self._server.trigger.pull_trigger(self._stop_accepting)
        self._server.trigger.pull_trigger(is_closed_to_new.set)
        is_closed_to_new.wait(timeout_s)
        self._server.task_dispatcher.shutdown(cancel_pending=False, timeout=timeout_s)
        self._is_ending.set()
        self._server.trigger.pull_trigger()
        self._thread.join(timeout=2.0)
        self._server.trigger.close()

    @staticmethod
    def _create(app: Any, settings: ServerSection, address: tuple[str, int]) -> Listener:
        adjustments = Adjustments(
            host=address[0],
            port=address[1],
            recv_bytes=_RECV_BYTES,
            inbuf_overflow=_IN_MEMORY_BYTES,
            max_request_body_size=settings.max_body_bytes,
            connection_limit=_NO_LIMIT,
            channel_timeout=_IDLE_S,
            cleanup_interval=10,
            asyncore_use_poll=True,
            ident=None,
            trusted_proxy=settings.trusted_proxy,
            trusted_proxy_headers=_PROXY_HEADERS if settings.trusted_proxy else set(),
            clear_untrusted_proxy_headers=True,
        )
        lanes = _Lanes(settings.threads)
        server = Listener(app, {}, False, dispatcher=lanes, adj=adjustments)
        server.channel_class, server.most = _Channel, most_connections()
        server.trigger.close()
        server.trigger = _Trigger(server._map)
        return server

    def _loop(self) -> None:
        while not self._is_ending.is_set():
            wasyncore.loop(timeout=1.0, map=self._server._map, use_poll=True, count=1)
            self._beat()
        self._close_channels()

    def _stop_accepting(self) -> None:
        self._server.accepting = False
        self._server.socket.close()
        self._server.del_channel()

    def _close_channels(self) -> None:
        for channel in list(self._server.active_channels.values()):
            with contextlib.suppress(OSError):
                channel._flush_some()
            channel.handle_close()


def _first_address(host: str, port: int) -> tuple[str, int]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    best = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return str(best[4][0]), int(best[4][1])

"""All cameras of a box, built from the settings. Ring: rim."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from edge.box.troubles import camera_troubles
from edge.capture.account import CameraAccount, CameraPlan
from edge.capture.cameras import Camera, PushedCamera
from edge.capture.open_source import open_source
from edge.capture.shot import PUSH, CameraAddress
from edge.capture.state import CameraState, ViewFinding
from edge.config.cameras import CameraSection
from shared.clock import Clock
from shared.config import read_secret
from shared.deadline import Deadline
from shared.types import Frame, ImageLimits, Picture
from shared.watch.supervise import Supervisor
from shared.watch.trouble import Trouble, TroubleKind


class Cameras:
    """The cameras by name; one that fails or hangs touches no other."""

    def __init__(
        self,
        sections: Mapping[str, CameraSection],
        *,
        limits: ImageLimits,
        work: Callable[[Frame], None],
        clock: Clock,
        supervisor: Supervisor,
        on_end: Callable[[str], None],
    ) -> None:
        """Build them; nothing is opened yet.

        Raises:
            ConfigError(CONFIG_INVALID): a password file cannot be read.
        """
        self._clock = clock
        self._supervisor = supervisor
        self._cameras: dict[str, Camera | PushedCamera] = {}
        for name, section in sections.items():
            account = CameraAccount(camera_plan(name, section), clock)
            if section.source == PUSH:
                self._cameras[name] = PushedCamera(account, clock)
                continue
            self._cameras[name] = Camera(
                account,
                open_source=functools.partial(
                    open_source, camera_address(section), section.fps, limits
                ),
                work=work,
                clock=clock,
                watchman=supervisor,
                on_end=on_end,
            )
        supervisor.add_rule(self._troubles)

    @property
    def pushed(self) -> frozenset[str]:
        """Name the cameras whose frames are posted."""
        return frozenset(n for n, c in self._cameras.items() if isinstance(c, PushedCamera))

    def start(self) -> None:
        """Begin to watch."""
        for camera in self._cameras.values():
            camera.start()

    def stop(self, timeout_s: float) -> None:
        """Stop to watch; however many cameras hang, at most about `timeout_s` is waited for all of them."""
        until = Deadline.after(timeout_s, self._clock)
        for camera in self._cameras.values():
            camera.end()
        for camera in self._cameras.values():
            camera.stop(until.remaining_s())

    def take_pushed(self, picture: Picture, name: str | None) -> Frame | None:
        """Make a frame of a posted picture, when it is of a camera that is configured to be posted."""
        camera = self._cameras.get(name or "")
        return camera.take(picture) if isinstance(camera, PushedCamera) else None

    def states(self) -> list[CameraState]:
        """Tell how the cameras are."""
        return [camera.state() for camera in self._cameras.values()]

    def _troubles(self) -> Iterable[Trouble]:
        """Name what is wrong with them; a turned camera whose trouble somebody acknowledged was turned on purpose."""
        for seen in self._supervisor.active():
            is_meant = (seen.kind, seen.code) == (TroubleKind.VIEW, ViewFinding.MOVED.value)
            camera = self._cameras.get(seen.subject)
            if camera and is_meant and seen.acknowledged_at:
                camera.learn_view_anew()
        now_at = self._clock.now_at()
        for state in self.states():
            yield from camera_troubles(state, now_at)


def camera_row(state: CameraState) -> dict[str, Any]:
    """Give a camera's wire form."""
    age_s = state.frame_age_s
    return {
        "name": state.name,
        "address": state.address,
        "state": state.word,
        "frame_age_s": None if age_s is None else round(age_s, 2),
        "fps": round(state.fps, 2),
        "received": state.received,
        "skipped": state.skipped,
        "stale": state.stale,
        "replaced_readers": state.replaced,
        "clock_quality": state.clock_quality.value if state.clock_quality else None,
        "view": [finding.value for finding in state.view],
        "trouble": state.trouble,
        "ended": state.has_ended,
    }


def camera_plan(name: str, section: CameraSection) -> CameraPlan:
    """Take from the settings what is expected of a camera."""
    return CameraPlan(
        name=name,
        address=CameraAddress(url=section.source).shown,
        fps=section.fps,
        max_age_s=section.max_age_s,
    )


def camera_address(section: CameraSection) -> CameraAddress:
    """Bring a camera's address and password together, wherever the password stands."""
    password = section.password.get_secret_value() if section.password else None
    if section.password_file:
        password = read_secret(section.password_file)
    return CameraAddress(url=section.source, password=password)

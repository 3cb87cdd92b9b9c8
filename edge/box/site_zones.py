"""Which zones hold: what was saved on the page, else what the configuration says. Ring: rim.

A saved version stands for all zones of its camera and holds at once and after a restart, until the camera is given
back to the configuration.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from pydantic import ValidationError

from edge.box.troubles import zones_unread
from edge.box.zone_store import ZONES, SavedZones, ZoneStore
from edge.config.cameras import CameraSection
from edge.config.events import ZoneSection, zones_of
from edge.config.settings import EdgeSettings
from edge.zones.zones import Masks
from shared.clock import Clock
from shared.error_code import ErrorCode
from shared.errors import RequestError
from shared.watch.trouble import Trouble


class SiteZones:
    """The zones of all cameras; `masks` are those that work. Safe for use by many threads."""

    def __init__(
        self,
        cameras: Mapping[str, CameraSection],
        store: ZoneStore,
        clock: Clock,
        tell: Callable[[Trouble], object] = lambda trouble: None,
    ) -> None:
        """Take up what was saved; a camera that is not configured any more keeps its versions for later.

        Of a camera whose newest version cannot be read the one before it holds, and `tell` is told.

        Raises:
            StoreError
        """
        self._cameras = cameras
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._saved = {saved.camera: saved for saved in store.newest()}
        for camera in sorted(store.unread):
            tell(zones_unread(camera, clock.now_at()))
        self.masks = Masks({name: zones_of(self.zones(name)) for name in cameras})

    def saved(self, camera: str) -> SavedZones | None:
        """Give a camera's newest saved version, None when there never was one."""
        return self._saved.get(camera)

    def versions(self, camera: str, most: int) -> list[SavedZones]:
        """Give a camera's saved versions, the newest first.

        Raises:
            StoreError
        """
        return self._store.versions(camera, most)

    def zones(self, camera: str) -> dict[str, ZoneSection]:
        """Give the zones that hold for a camera."""
        saved = self._saved.get(camera)
        if saved is None or saved.zones is None:
            return self._cameras[camera].zones
        return saved.zones

    def section(self, camera: str) -> CameraSection | None:
        """Give a camera's settings with the zones that hold; None for one that is not configured."""
        section = self._cameras.get(camera)
        return section and section.model_copy(update={"zones": self.zones(camera)})

    def effective(self, settings: EdgeSettings) -> EdgeSettings:
        """Give the settings with the zones that hold."""
        cameras = {name: self.section(name) for name in settings.cameras}
        return settings.model_copy(update={"cameras": cameras})

    def save(self, camera: str, given: object, *, by: str, after: int) -> SavedZones:
        """Save a camera's zones and let them hold; None gives the camera back to the configuration.

        Args:
            camera: its name.
            given: all its zones by name, as in the configuration.
            by: who does it.
            after: number of the version that was looked at, 0 for none.

        Raises:
            RequestError(HTTP_NOT_FOUND): no such camera.
            RequestError(REQUEST_FIELD_INVALID): a zone is wrong, or somebody else saved meanwhile.
            StoreError
        """
        if camera not in self._cameras:
            raise RequestError(ErrorCode.HTTP_NOT_FOUND, f"there is no camera {camera[:64]!r}")
        zones = None if given is None else _checked(given)
        saved = self._store.add(camera, zones, at=self._clock.now_at(), by=by, after=after)
        if saved is None:
            detail = "somebody else saved zones of this camera meanwhile: load the page again"
            raise RequestError(ErrorCode.REQUEST_FIELD_INVALID, detail)
        with self._lock:  # of two that save at once, the one that wrote last holds
            before = self._saved.get(camera)
            if before is None or before.number < saved.number:
                self._saved = {**self._saved, camera: saved}
                self.masks.take(camera, zones_of(self.zones(camera)))
        return saved

    def close(self) -> None:
        """Close the file."""
        self._store.close()


def _checked(given: object) -> dict[str, ZoneSection]:
    try:
        return ZONES.validate_python(given)
    except ValidationError as err:
        problems = [
            f"{'.'.join(str(part)[:64] for part in problem['loc'])}: {problem['msg']}"
            for problem in err.errors(include_url=False, include_input=False)
        ]
        raise RequestError(ErrorCode.REQUEST_FIELD_INVALID, "; ".join(problems[:5])) from err

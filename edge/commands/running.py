"""How a command asks the service that runs on this machine. Ring: adapter (a socket)."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import requests

from edge.config.settings import EdgeSettings
from shared.command.control import control_headers
from shared.error_code import ErrorCode
from shared.errors import CommandError

_REMEDY = (
    "Start it (`systemctl status emberlink-edge` tells how it is), or name its settings with --config, "
    "or its --port and --state."
)


class RunningService:
    """The service of these settings, asked with what only its own user can read."""

    def __init__(self, settings: EdgeSettings) -> None:
        """Prepare to ask; nothing is sent yet."""
        self._url = f"http://127.0.0.1:{settings.server.port}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update(control_headers(settings.state))

    def __enter__(self) -> Self:
        """Give this."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._session.close()

    def ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, timeout_s: float
    ) -> dict[str, Any]:
        """Ask once, and give the whole answer, which may tell of an error.

        Raises:
            CommandError: nobody answers, or not one of ours.
        """
        try:
            answer = self._session.request(
                method, self._url + path, json=body, timeout=timeout_s, allow_redirects=False
            ).json()
        except requests.Timeout as err:
            detail = f"the service at {self._url} gave no answer within {timeout_s:.0f} s"
            raise CommandError(detail, "Look into its log; restart it if it hangs.") from err
        except requests.ConnectionError as err:
            detail = f"no service runs at {self._url}: nothing listens there"
            raise CommandError(detail, _REMEDY) from err
        except (requests.RequestException, ValueError) as err:
            raise CommandError(
                f"what answers at {self._url} is no Emberlink edge", _REMEDY
            ) from err
        if not isinstance(answer, dict) or "err_no" not in answer:
            raise CommandError(f"what answers at {self._url} is no Emberlink edge", _REMEDY)
        if answer["err_no"] == ErrorCode.SIGN_IN_NEEDED.row.number:
            detail = f"the service at {self._url} does not know this command"
            raise CommandError(
                detail, "Run it as the service's user, with its --config or --state."
            )
        return answer

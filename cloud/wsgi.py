"""The cloud as a WSGI application: `gunicorn --workers 1 --threads 32 'cloud.wsgi:application()'`. Ring: rim.

One process only: each worker process has its own model, queue and results (unless `engine.kind` is redis).
"""

from __future__ import annotations

import threading

from flask import Flask

from shared.startup import prepare_libraries


def application() -> Flask:
    """Start the service from `EMBERLINK_CLOUD_CONFIG` and the environment, and give its application.

    Its own server stays on a free port of loopback, where `/healthz` answers as well.

    Raises:
        ConfigError, ModelError: with cause and remedy.
    """
    prepare_libraries()
    from cloud.config import ENV_PREFIX, CloudSettings
    from cloud.service import CloudService
    from shared.config import load_settings
    from shared.logs import configure_logs

    settings = load_settings(
        CloudSettings,
        prefix=ENV_PREFIX,
        flags={"server": {"port": 0}},
    )
    configure_logs(level=settings.log.level)
    service = CloudService(settings)
    service.start()

    def stop_with_process() -> None:
        # atexit would be too late: the interpreter joins the service's threads before it.
        threading.main_thread().join()
        service.stop()

    threading.Thread(target=stop_with_process, name="stop", daemon=True).start()
    return service.app

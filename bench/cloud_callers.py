"""Callers of the cloud that are refused and come back, in a process of their own.

Each posts for `--seconds`; after a 503 it waits as long as Retry-After says (with a fifth of jitter either way), or not
at all with `--impatient`. Prints one JSON line an answer.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import threading
import time
from pathlib import Path

_GIVE_UP_S = 60.0


def main() -> None:
    """Post from `--callers` connections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--callers", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--impatient", action="store_true")
    wanted = parser.parse_args()
    jpeg = wanted.picture.read_bytes()
    ends_s = time.monotonic() + wanted.seconds
    answers: list[dict[str, float]] = []

    def keep_asking() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", wanted.port, timeout=_GIVE_UP_S)
        while time.monotonic() < ends_s:
            started_s = time.perf_counter()
            connection.request("POST", "/infer", jpeg, {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            response.read()
            ms = 1000 * (time.perf_counter() - started_s)
            answers.append({"status": response.status, "ms": ms, "at_s": time.monotonic()})
            if response.status == 503 and not wanted.impatient:
                asked_s = float(response.getheader("Retry-After", "1"))
                left_s = max(0.0, ends_s - time.monotonic())
                time.sleep(min(left_s, asked_s * random.uniform(0.8, 1.2)))
        connection.close()

    threads = [threading.Thread(target=keep_asking) for _ in range(wanted.callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answer in answers:
        if answer["at_s"] <= ends_s:
            print(json.dumps(answer))


if __name__ == "__main__":
    main()

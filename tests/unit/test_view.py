from __future__ import annotations

from threading import Event, Thread
from typing import Any

import numpy as np

from edge.capture import view
from edge.capture.view import View
from tests.helpers.clock import FakeClock
from tests.helpers.frames import picture


def test_a_slow_look_is_not_overtaken_by_another(monkeypatch):
    clock, looks, is_looking, go_on = FakeClock(), list[int](), Event(), Event()

    def slow(*_given: object) -> Any:
        looks.append(1)
        is_looking.set()
        assert go_on.wait(40)
        return np.zeros((144, 256), np.uint8)

    monkeypatch.setattr(view, "grey_thumbnail", slow)
    watched = View(clock)
    first = Thread(target=watched.look, args=(picture(),))
    first.start()
    assert is_looking.wait(40)
    clock.advance(5.0)
    watched.look(picture())  # of another post, while the first one is still looked at
    assert len(looks) == 1
    go_on.set()
    first.join(40)
    clock.advance(5.0)
    watched.look(picture())
    assert len(looks) == 2

from __future__ import annotations

from pathlib import Path

import pytest

from edge.decide.battery import Battery
from edge.decide.latency import Latency
from tests.helpers.clock import FakeClock


def supply(folder: Path, name: str, **values: str) -> None:
    (folder / name).mkdir(parents=True)
    for key, value in values.items():
        (folder / name / key).write_text(value + "\n", encoding="ascii")


def test_the_percentile_follows_the_last_fifty_calls():
    latency = Latency(FakeClock())
    for milliseconds in [9_000] * 50 + list(range(100, 150)):
        latency.note(milliseconds / 1000)
    assert latency.percentile_s(0.5) == pytest.approx(0.125)
    assert latency.percentile_s(0.9) == pytest.approx(0.145)


def test_before_the_first_call_there_is_a_guess():
    assert 0 < Latency(FakeClock()).percentile_s(0.9) < 1


def test_a_slow_spell_is_forgotten_after_a_while():
    clock = FakeClock()
    latency = Latency(clock)
    latency.note(9.0)
    clock.advance(301.0)
    assert latency.known_percentile_s(0.5) is None


def test_the_last_hour_is_told_in_steps_and_what_is_older_is_forgotten():
    clock = FakeClock()
    latency = Latency(clock)
    for _ in range(30):
        for milliseconds in range(100, 200):
            latency.note(milliseconds / 1000)
        clock.advance(300.0)
    history = latency.history()
    assert len(history) in (11, 12)
    assert all(found.calls == 100 for found in history)
    assert [found.age_s for found in history] == sorted((f.age_s for f in history), reverse=True)
    assert history[0].age_s <= 3600.0
    assert (history[0].median_s, history[0].p90_s) == (pytest.approx(0.15), pytest.approx(0.19))


def test_a_step_without_a_call_is_left_out_of_the_hour():
    clock = FakeClock()
    latency = Latency(clock)
    latency.note(0.1)
    clock.advance(1500.0)
    latency.note(0.2)
    assert [found.calls for found in latency.history()] == [1, 1]
    clock.advance(3600.0)
    assert latency.history() == ()


def test_a_flood_of_calls_takes_bounded_memory():
    latency = Latency(FakeClock())
    for _ in range(5_000):
        latency.note(0.1)
    assert latency.history()[0].calls == 200


def test_a_box_without_a_battery_counts_as_full(tmp_path):
    assert Battery(FakeClock(), tmp_path / "nothing").level() == 1.0


def test_mains_power_counts_as_full(tmp_path):
    supply(tmp_path, "AC", type="Mains", online="1")
    supply(tmp_path, "BAT0", type="Battery", capacity="12")
    assert Battery(FakeClock(), tmp_path).level() == 1.0


def test_the_battery_of_a_mouse_is_not_the_box_s(tmp_path):
    supply(tmp_path, "hidpp_battery_0", type="Battery", capacity="3", scope="Device")
    assert Battery(FakeClock(), tmp_path).level() == 1.0


def test_the_emptiest_battery_counts(tmp_path):
    supply(tmp_path, "AC", type="Mains", online="0")
    supply(tmp_path, "BAT0", type="Battery", capacity="80")
    supply(tmp_path, "BAT1", type="Battery", capacity="25")
    assert Battery(FakeClock(), tmp_path).level() == 0.25


def test_the_level_is_read_again_after_a_while(tmp_path):
    clock = FakeClock()
    supply(tmp_path, "BAT0", type="Battery", capacity="80")
    battery = Battery(clock, tmp_path)
    assert battery.level() == 0.8
    (tmp_path / "BAT0" / "capacity").write_text("9\n", encoding="ascii")
    assert battery.level() == 0.8
    clock.advance(31.0)
    assert battery.level() == 0.09


def test_garbage_in_the_power_supply_folder_is_not_believed(tmp_path):
    supply(tmp_path, "BAT0", type="Battery", capacity="a lot")
    assert Battery(FakeClock(), tmp_path).level() == 1.0

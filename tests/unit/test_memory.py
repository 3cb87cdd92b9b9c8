from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.decide.memory import CameraMemory, Memories, Told


def seconds_to_alarm(
    fps: int, *, answers: dict[int, Told] | None = None, limit_s: int = 300
) -> float:
    """Play a steady edge fire; `answers` are the cloud's by second."""
    memory = CameraMemory()
    for number in range(limit_s * fps):
        now_s = 100.0 + number / fps
        answer = (answers or {}).get(number // fps) if number % fps == 0 else None
        if answer is not None:
            memory.note_sent(0.0, now_s)
        if memory.note_frame(2.0, 0.0, now_s, answer=answer, is_in_flight=False):
            return now_s - 100.0
    return float("inf")


@pytest.mark.parametrize("fps", [2, 4, 10])
def test_streams_of_any_rate_alarm_within_a_second_of_each_other(fps):
    assert abs(seconds_to_alarm(fps) - seconds_to_alarm(1)) <= 1.0


def test_one_frame_alone_alarms_nobody():
    memory = CameraMemory()
    assert not memory.note_frame(5.0, 0.0, 0.0, answer=None, is_in_flight=False)
    assert not any(
        memory.note_frame(-5.0, 0.0, float(t), answer=None, is_in_flight=False)
        for t in range(1, 60)
    )


def test_a_cloud_yes_alarms_sooner_than_the_edge_alone():
    assert seconds_to_alarm(1, answers={0: Told.YES}) < seconds_to_alarm(1)


def test_a_cloud_no_holds_a_steady_edge_alarm_back():
    assert seconds_to_alarm(1, answers={0: Told.NO}) >= 10.0


@given(st.integers(1, 12))
def test_no_chain_of_cloud_noes_silences_a_steady_alarm_for_more_than_65_s_after_it_ends(noes):
    answers = {5 * n: Told.NO for n in range(noes)}
    ends_s = 5 * (noes - 1)
    assert seconds_to_alarm(1, answers=answers) <= ends_s + 65.0


def test_a_cloud_that_cannot_tell_holds_nothing_back():
    assert seconds_to_alarm(1, answers={0: Told.UNSURE}) == seconds_to_alarm(1)


def test_a_cloud_that_cannot_tell_is_not_asked_again_at_once():
    unsure, told_no = CameraMemory(), CameraMemory()
    for memory, told in ((unsure, Told.UNSURE), (told_no, Told.NO)):
        memory.note_sent(0.0, 0.0)
        memory.note_answer(told, 0.0)
    assert unsure.news(0.0, 1.0) == told_no.news(0.0, 1.0) < 0.2


def test_a_jump_in_the_score_breaks_the_veto():
    memory = CameraMemory()
    memory.note_sent(-3.0, 0.0)
    memory.note_answer(Told.NO, 0.0)
    assert memory.is_held(-3.0, 5.0)
    assert not memory.is_held(-2.0, 5.0)


def test_a_broken_score_adds_no_evidence():
    memory = CameraMemory()
    for t in range(60):
        memory.note_frame(None, 0.0, float(t), answer=None, is_in_flight=False)
    assert memory.evidence == 0.0


@given(
    st.lists(st.sampled_from(Told), max_size=40),
    st.lists(st.floats(0.01, 400.0), min_size=40, max_size=40),
)
def test_a_veto_never_lasts_longer_than_a_minute(answers, gaps):
    memory, now_s = CameraMemory(), 0.0
    for told, gap_s in zip(answers, gaps, strict=False):
        now_s += gap_s
        memory.note_sent(0.0, now_s)
        memory.note_answer(told, now_s)
        assert memory.veto_until_s <= now_s + 60.0


def test_repeated_noes_hold_longer_and_a_yes_forgets_them():
    memory = CameraMemory()
    vetoes = []
    for now_s in (0.0, 5.0, 10.0):
        memory.note_sent(0.0, now_s)
        memory.note_answer(Told.NO, now_s)
        vetoes.append(memory.veto_until_s - now_s)
    assert vetoes == sorted(vetoes)
    memory.note_answer(Told.YES, 11.0)
    assert (memory.noes, memory.is_held(0.0, 11.0)) == (0, False)


def test_the_number_of_remembered_cameras_is_bounded():
    memories = Memories()
    for number in range(3000):
        with memories.of(f"camera-{number}") as memory:
            assert memory is not None
            memory.evidence = 1.0
    assert memories.peek("camera-2999").evidence == 1.0
    assert memories.peek("camera-0").evidence == 0.0


def test_a_frame_without_a_camera_has_no_memory():
    with Memories().of(None) as memory:
        assert memory is None

"""Files named by their content, on a real disk."""

from __future__ import annotations

import hashlib

import pytest

from shared.disk.blobs import Blobs
from shared.errors import StoreError

_FIRE = b"fire" * 100


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _files(blobs: Blobs) -> list[str]:
    return sorted(path.name for path in blobs.settled())


def test_a_file_lies_under_its_own_hash_in_two_levels(tmp_path):
    blobs = Blobs(tmp_path / "b", max_bytes=1000)
    name = blobs.put(_FIRE)
    assert name == _name(_FIRE)
    assert (tmp_path / "b" / name[:2] / name[2:4] / name).read_bytes() == _FIRE
    assert blobs.staged() == []


def test_folders_go_with_their_last_file(tmp_path):
    blobs = Blobs(tmp_path / "b", max_bytes=1000)
    names = [blobs.put(str(number).encode()) for number in range(300)]
    blobs.remove(names)
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["incoming"]


def test_the_same_content_is_kept_once(tmp_path):
    blobs = Blobs(tmp_path / "b", max_bytes=1000)
    assert blobs.put(_FIRE) == blobs.put(_FIRE)
    assert _files(blobs) == [_name(_FIRE)]


def test_a_staged_file_can_be_read_before_it_is_settled(tmp_path):
    blobs = Blobs(tmp_path / "b", max_bytes=1000)
    with blobs.staging([_FIRE]) as names:
        assert blobs.read(names[0]) == _FIRE
        assert blobs.has(names[0])
    assert _files(blobs) == []


def test_what_was_staged_goes_when_its_rows_fail(tmp_path):
    blobs = Blobs(tmp_path / "b", max_bytes=1000)
    with pytest.raises(RuntimeError), blobs.staging([_FIRE, b"more"]):
        raise RuntimeError("no row")
    assert blobs.staged() == []


def test_a_failure_leaves_alone_what_somebody_else_had_staged(tmp_path):
    blobs = Blobs(tmp_path / "b", max_bytes=1000)
    with blobs.staging([_FIRE]):
        pass
    with pytest.raises(RuntimeError), blobs.staging([_FIRE, b"more"]):
        raise RuntimeError("no row")
    assert blobs.staged() == [_name(_FIRE)]


def test_a_file_that_is_too_long_is_refused_with_all_that_came_with_it(tmp_path):
    blobs = Blobs(tmp_path / "b", max_bytes=1000)
    with pytest.raises(StoreError, match="at most 1000"), blobs.staging([_FIRE, b"x" * 1001]):
        pass
    assert blobs.staged() == []


def test_a_removed_file_is_gone_and_removing_it_again_is_no_error(tmp_path):
    blobs = Blobs(tmp_path / "b", max_bytes=1000)
    name = blobs.put(_FIRE)
    blobs.remove([name])
    blobs.remove([name])
    assert not blobs.has(name)
    with pytest.raises(FileNotFoundError):
        blobs.read(name)


@pytest.mark.parametrize("link", ["b", "b/incoming"])
def test_a_folder_that_is_a_symbolic_link_is_refused_by_name(tmp_path, link):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="symbolic link"):
        Blobs(tmp_path / "b", max_bytes=1000)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_staged_name_that_is_a_symbolic_link_is_not_written_through(tmp_path):
    blobs = Blobs(tmp_path / "b", max_bytes=1000)
    target = tmp_path / "target"
    (tmp_path / "b" / "incoming" / _name(_FIRE)).symlink_to(target)
    with pytest.raises(StoreError), blobs.staging([_FIRE]):
        pass
    assert not target.exists()


def test_a_reader_creates_nothing(tmp_path):
    Blobs(tmp_path / "b", max_bytes=1000, is_read_only=True)
    assert not (tmp_path / "b").exists()

"""JAX's compiled programs are kept in the user's cache, unless the user has a say in it; and no more than so much."""

import os
import time

import pytest

from harness.targets import compilation_cache
from harness.targets.compilation_cache import (
    FOLDER,
    LOOKED_THROUGH_EVERY,
    SWITCH,
    environment,
    make_room,
    make_room_now_and_then,
)


@pytest.fixture(autouse=True)
def _of_a_user_who_set_nothing(monkeypatch, tmp_path):
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.delenv(SWITCH, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compilation_cache._is_ready.cache_clear()


def test_programs_are_kept_in_the_users_cache(tmp_path):
    folder = environment()[FOLDER]
    assert folder.startswith(str(tmp_path / "bnproof" / "jax-"))
    assert os.path.isdir(folder)


@pytest.mark.parametrize("variable", [FOLDER, SWITCH])
def test_the_users_own_settings_stand(monkeypatch, variable):
    monkeypatch.setenv(variable, "false")
    assert environment() == {}


def test_without_a_place_nothing_is_kept(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert environment() == {}


def test_the_oldest_make_room(tmp_path):
    for age, name in enumerate(("new", "old", "oldest")):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    make_room(tmp_path, 20)
    assert sorted(os.listdir(tmp_path)) == ["new", "old"]
    make_room(tmp_path, 5)
    assert os.listdir(tmp_path) == []


def test_a_folder_is_looked_through_now_and_then(tmp_path):
    folder = tmp_path / "programs"
    folder.mkdir()

    def left_of_a_file():
        (folder / "program").write_bytes(bytes(10))
        make_room_now_and_then(folder, 5)
        return os.listdir(folder)

    assert left_of_a_file() == []
    assert left_of_a_file() == ["program"]
    (stamp,) = tmp_path.glob("programs.*")
    for age in (LOOKED_THROUGH_EVERY + 1, -3600):  # by a clock that was put back, too
        os.utime(stamp, (time.time() - age,) * 2)
        assert left_of_a_file() == []

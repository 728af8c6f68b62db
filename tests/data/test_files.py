"""Files are there in full or not at all."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from quant_trading.data.files import name_beside, put_in_place, replace_file
from quant_trading.domain.errors import ConfigError


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "new" / "folder" / "a.csv"
    assert replace_file(path, b"one\n") == path
    assert replace_file(path, b"two\n").read_bytes() == b"two\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_place_that_is_none_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(ConfigError, match=r"taken cannot be written \(.+\); choose another place"):
        replace_file(tmp_path / "taken", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_the_content_is_on_the_medium_before_it_takes_the_name(tmp_path, monkeypatch):
    path, seen = tmp_path / "a.csv", []
    path.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", lambda _: seen.append((path.read_bytes(), name_beside(path).read_bytes())))
    put_in_place(path, b"new")
    assert seen == [(b"old", b"new")]
    assert path.read_bytes() == b"new"


def test_a_medium_that_fails_leaves_the_old_content_and_no_rest(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(5, "Input/output error")

    path = tmp_path / "a.csv"
    path.write_bytes(b"old")
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        put_in_place(path, b"new")
    with pytest.raises(ConfigError, match="Input/output error"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"]


def test_writers_at_once_do_not_take_each_others_file(tmp_path, monkeypatch):
    path, together, sync = tmp_path / "a.csv", Barrier(4), os.fsync

    def wait_for_the_others(descriptor):
        sync(descriptor)
        together.wait(30)  # all four files are written before the first takes the name

    monkeypatch.setattr("os.fsync", wait_for_the_others)
    contents = [bytes([65 + k]) * 10_000 for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda content: put_in_place(path, content), contents))
    assert path.read_bytes() in contents
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"]

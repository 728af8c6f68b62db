"""Files are there in full or not at all."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Lock

import pytest

from quant_trading.data.files import FilesAtOnce, name_beside, put_in_place, replace_file
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


def test_a_file_is_made_while_the_one_before_is_written(tmp_path, monkeypatch):
    next_is_made, sync = Event(), os.fsync

    def wait_for_the_next(descriptor):
        assert next_is_made.wait(30)
        sync(descriptor)

    monkeypatch.setattr("os.fsync", wait_for_the_next)
    with FilesAtOnce() as files:
        assert files.replace(tmp_path / "new" / "a", b"first") == tmp_path / "new" / "a"
        files.replace(tmp_path / "new" / "b", b"second")
        assert not (tmp_path / "new" / "a").exists()
        next_is_made.set()
    assert {path.name: path.read_bytes() for path in (tmp_path / "new").iterdir()} == {"a": b"first", "b": b"second"}


def test_many_files_are_written_eight_at_once(tmp_path, monkeypatch):
    together, lock, now, most = Barrier(8), Lock(), [0], [0]

    def count(_):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        together.wait(30)
        with lock:
            now[0] -= 1

    monkeypatch.setattr("os.fsync", count)
    with FilesAtOnce() as files:
        for k in range(40):
            files.replace(tmp_path / str(k), bytes([k]))
    assert [(tmp_path / str(k)).read_bytes() for k in range(40)] == [bytes([k]) for k in range(40)]
    assert most == [8]


def test_the_others_are_there_when_one_cannot_be_written(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(ConfigError, match=r"taken cannot be written"), FilesAtOnce() as files:
        files.replace(tmp_path / "taken", b"x")
        files.replace(tmp_path / "free", b"y")
    assert (tmp_path / "free").read_bytes() == b"y"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["free", "taken"]


def test_what_goes_wrong_meanwhile_is_told_before_what_could_not_be_written(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(KeyError), FilesAtOnce() as files:
        files.replace(tmp_path / "taken", b"x")
        files.replace(tmp_path / "free", b"y")
        raise KeyError
    assert (tmp_path / "free").read_bytes() == b"y"


def test_of_many_files_eight_are_written_at_once(tmp_path, monkeypatch):
    steps = []

    class Slow:
        """A writing that ends when somebody waits for it."""

        error = None

        def __init__(self, path, content):
            self.name = path.name

        def start(self):
            steps.append(("begin", self.name))

        def join(self):
            steps.append(("end", self.name))

    monkeypatch.setattr("quant_trading.data.files._Writing", Slow)
    with FilesAtOnce() as files:
        for number in range(10):
            files.replace(tmp_path / str(number), b"")
        eight = [("begin", str(number)) for number in range(8)]
        assert steps == [*eight, ("end", "0"), ("begin", "8"), ("end", "1"), ("begin", "9")]
    assert {("end", str(number)) for number in range(10)} <= set(steps)

"""Files are there in full or not at all."""

import pytest

from quant_trading.data.files import replace_file
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

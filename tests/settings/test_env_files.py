"""A file of plain lines means what python-dotenv says it means, and is read without it."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from dotenv.parser import parse_stream
from hypothesis import given
from hypothesis import strategies as st

from quant_trading.domain.errors import ConfigError
from quant_trading.settings.env_files import read_env_file

NAMES = st.text("AB_9", min_size=1, max_size=3).filter(lambda name: not name[0].isdigit())
LINES = st.one_of(
    st.just(""),
    st.builds("#{}".format, st.text(" =#'\"a", max_size=4)),
    st.builds("{}={}".format, NAMES, st.text("a1.,:/@+-_ #'\"\\$=", max_size=5)),
)


@given(lines=st.lists(LINES, max_size=5), ending=st.sampled_from(["\n", "\r\n", "\r"]), closed=st.booleans())
def test_every_text_gives_the_values_of_python_dotenv(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], ending: str, closed: bool
) -> None:
    text = ending.join(lines) + (ending if closed else "")
    path = tmp_path_factory.getbasetemp() / "some.env"
    path.write_bytes(text.encode())
    bindings = [b for b in parse_stream(io.StringIO(text, newline="")) if b.error or b.key is not None]
    names = [b.key for b in bindings]
    if any(b.error or b.value is None for b in bindings) or len(set(names)) < len(names):
        with pytest.raises(ConfigError):
            read_env_file(path, "some.env")
    else:
        read = {name: value.value for name, value in read_env_file(path, "some.env").items()}
        assert read == {b.key: b.value for b in bindings if b.value}


def test_values_know_their_lines_and_empty_ones_are_not_set(tmp_path: Path) -> None:
    path = tmp_path / "strategy.env"
    path.write_bytes(b"\xef\xbb\xbf# of the desk\r\n\r\nACTIVE_STRATEGY=MACD\r\nMACD_FAST=\r\nMACD_SLOW=26\r\n")
    found = read_env_file(path, "strategy.env")
    assert {name: (value.value, value.line) for name, value in found.items()} == {
        "ACTIVE_STRATEGY": ("MACD", 3),
        "MACD_SLOW": ("26", 5),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A=1\nB=2\nA=3\n", "x.env: A is given twice, in lines 1 and 3; take one out"),
        ("A=1\nB = 2\nA=3\n", "x.env: A is given twice, in lines 1 and 3; take one out"),
        ("A=1\nwhat\n", "x.env: line 2 is not NAME=value; write it so, or put # before it"),
    ],
)
def test_a_broken_file_is_refused_by_line_whichever_way_it_is_read(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.env"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_env_file(path, "x.env")
    assert str(refused.value) == said


def test_plain_files_are_read_without_python_dotenv(tmp_path: Path) -> None:
    path = tmp_path / "strategy.env"
    path.write_text("# plain\nA=1\n")
    code = (
        "import sys, pathlib; from quant_trading.settings.env_files import read_env_file as read; "
        "found = read(pathlib.Path(sys.argv[1]), 'x'); sys.exit(found['A'].value != '1' or 'dotenv' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 0

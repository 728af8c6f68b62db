"""logs/desk.log: made at run time, one line per record, no secrets, nothing left behind."""

import logging
import re
from pathlib import Path

import pytest

from quant_trading.desk import logs
from quant_trading.desk.logs import configure_logging
from quant_trading.domain.errors import ConfigError

ENVIRON = {
    "DJANGO_SECRET_KEY": "hunter2-hunter2", "BOT_TOKEN": "abcdef", "BOT_TOKEN_LONG": "abcdef-ghijkl",
    "MAIL_PASSWORD": "pw", "HOME": "/home/trader",
}  # fmt: skip
log = logging.getLogger("quant_trading.test_logs")


def test_records_of_all_loggers_are_written_with_utc_stamps(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "logs"
    with configure_logging(folder, environ={}) as path:
        assert path == folder / "desk.log"
        log.info("bought %d %s", 40, "AAPL")
        logging.getLogger("ib_async.client").warning("late")
        log.debug("left out")
    first, second = path.read_text().splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(stamp + r" INFO quant_trading\.test_logs: bought 40 AAPL", first)
    assert re.fullmatch(stamp + r" WARNING ib_async\.client: late", second)


def test_the_stamp_is_the_record_s_moment_in_utc(tmp_path: Path) -> None:
    record = logging.LogRecord("n", logging.ERROR, "f", 1, "said", None, None)
    record.created = 1795208405.25  # 2026-11-20T21:00:05.250Z
    with configure_logging(tmp_path, environ={}) as path:
        logging.getLogger().handle(record)
    assert path.read_text() == "2026-11-20T21:00:05.250Z ERROR n: said\n"


@pytest.mark.parametrize(
    "evil", ["a\n2026-01-01T00:00:00.000Z INFO desk: forged", "a\r\nb", "a\x1b[2Jb", "a\u2028b\x85c"]
)
def test_nobody_can_write_a_second_line(tmp_path: Path, evil: str) -> None:
    with configure_logging(tmp_path, environ={}) as path:
        log.info("symbol %s", evil)
        try:
            raise ValueError(evil)
        except ValueError:
            log.exception("failed")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if not line.startswith("  | ")]) == 2
    assert "\x1b" not in path.read_text(encoding="utf-8")
    assert any("Traceback" in line for line in lines)


def test_secrets_of_the_environment_are_hidden_also_in_tracebacks(tmp_path: Path) -> None:
    with configure_logging(tmp_path, environ=ENVIRON) as path:
        log.info("key %s, token %s, longer %s, home %s, word pw", *list(ENVIRON.values())[:3], ENVIRON["HOME"])
        try:
            raise RuntimeError("hunter2-hunter2")
        except RuntimeError:
            log.exception("failed")
    text = path.read_text()
    assert "hunter2" not in text
    assert "key ***, token ***, longer ***, home /home/trader, word pw\n" in text
    assert "RuntimeError: ***" in text


def test_the_file_is_kept_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_MAX_BYTES", 500)
    with configure_logging(tmp_path, environ={}) as path:
        for number in range(100):
            log.info("line %03d", number)
    files = sorted(p.name for p in tmp_path.iterdir())
    assert files == ["desk.log", *(f"desk.log.{n}" for n in range(1, 6))]
    assert all(p.stat().st_size <= 500 for p in tmp_path.iterdir())
    assert "line 099" in path.read_text()


def test_a_second_run_goes_on_in_the_same_file(tmp_path: Path) -> None:
    for number in range(2):
        with configure_logging(tmp_path, environ={}) as path:
            log.info("run %d", number)
    assert [line.rpartition(" ")[2] for line in path.read_text().splitlines()] == ["0", "1"]


def test_the_console_is_written_to_only_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with configure_logging(tmp_path, environ={}):
        log.info("quiet")
    with configure_logging(tmp_path, environ={}, console=True):
        log.info("loud")
    captured = capsys.readouterr()
    assert "quiet" not in captured.err
    assert "INFO quant_trading.test_logs: loud" in captured.err
    assert captured.out == ""


def test_nothing_is_left_when_the_context_ends(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with pytest.raises(RuntimeError), configure_logging(tmp_path, environ={}, console=True):
        raise RuntimeError
    assert (root.level, root.handlers) == before


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match=r"logs/desk\.log: cannot be written: .*set paths\.logs to another one"):
        configure_logging(tmp_path / "logs", environ={}).__enter__()

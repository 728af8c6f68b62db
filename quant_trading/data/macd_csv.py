"""`<symbol>_<timeframe>_bars_macd.csv`: bars with MACD, Signal and Hist, as backtests and other programs read them."""

import hashlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from quant_trading.data.files import replace_file
from quant_trading.data.tracker_record import HEADER
from quant_trading.domain.bar_sizes import BarSize
from quant_trading.domain.bars import BarColumns
from quant_trading.domain.errors import ConfigError
from quant_trading.indicators.macd import macd
from quant_trading.refdata.sessions import exchange_days

__all__ = ["encode_macd_csv", "macd_csv_path", "write_macd_csv"]

_EPOCH_DAY = date(1970, 1, 1).toordinal()


def macd_csv_path(folder: Path, symbol: str, size: BarSize, what: str = "TRADES", *, all_hours: bool = False) -> Path:
    """Return the file of a series: `SMR_5m_bars_macd.csv`, `SMR_5m_midpoint_bars_macd.csv`, `SMR_5m_all_bars_macd.csv`.

    Bars other than trades, and those of all hours, say so in the name, and no backtest takes them for the others.
    """
    kind = ("" if what == "TRADES" else f"_{what.lower()}") + ("_all" if all_hours else "")
    return folder / f"{symbol}_{size.timeframe}{kind}_bars_macd.csv"


def encode_macd_csv(bars: BarColumns, size: BarSize) -> bytes:
    """Return the file: bars by their start, in UTC, or by their date from a day on, and MACD(12, 26, 9) of the closes.

    Numbers have the fewest digits that read back the same; a volume that there is none of is left empty.
    """
    lines = macd(bars.close)
    if size.is_intraday:
        stamps = [f"{text}Z" for text in bars.start_ns.astype("datetime64[ns]").astype("datetime64[s]").astype(str)]
    else:
        stamps = [date.fromordinal(day + _EPOCH_DAY).isoformat() for day in exchange_days(bars.start_ns).tolist()]
    prices = (bars.open, bars.high, bars.low, bars.close)
    columns = [map(repr, values.tolist()) for values in (*prices, lines.macd, lines.signal, lines.histogram)]
    volumes = [_volume(value) for value in bars.volume.tolist()]
    rows = [",".join(row) for row in zip(stamps, *columns[:4], volumes, *columns[4:], strict=True)]
    return "\n".join((HEADER, *rows, "")).encode()


def _volume(value: float) -> str:
    if value != value:
        return ""
    return repr(int(value) if value.is_integer() else value)


def write_macd_csv(path: Path, bars: BarColumns, size: BarSize, record: Path | None = None) -> Path | None:
    """Write the file unless it is there already; return where an older one went whose bars are not all in the new one.

    Bars that the new file lacks, or has with other values, of a recorder or of another source, are never mixed with
    these nor lost: the older file is kept beside the new one under a name that no program reads bars from. An older
    file of this very series may have other values, after a split or a correction: `record` tells it from others.

    Args:
        path: of the file.
        bars, size: what it holds.
        record: takes the hashes of what was written last, to whatever place; None knows of none.

    Raises:
        ConfigError: when the place cannot be read or written.
    """
    content = encode_macd_csv(bars, size)
    try:
        old = path.read_bytes() if path.exists() else None
        noted = record.read_bytes() if record is not None and record.exists() else b""
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); choose another place or free this one") from error
    known = noted.decode(errors="replace").split()
    if record is not None and (latest := _sha256(content)) not in known[:1]:
        # Noted before it is written, and the one before as well: a kill in between leaves none that is unknown.
        replace_file(record, "\n".join([latest, *known[:1], ""]).encode())
    if old == content:
        return None
    kept = None
    if old is not None and _loses(old, content, is_own=_sha256(old) in known):
        kept = path.with_name(f"{path.name}.kept-{_sha256(old)[:8]}")
        replace_file(kept, old)
    replace_file(path, content)
    return kept


def _loses(old: bytes, content: bytes, *, is_own: bool) -> bool:
    """Return whether a file has bars that another lacks or, unless it is our own, has with other values."""
    lines = [line for line in old.splitlines()[1:] if line]
    if is_own:
        return not {_stamp(line) for line in lines} <= {_stamp(line) for line in content.splitlines()[1:]}
    new = {_stamp(line): line for line in content.splitlines()[1:]}
    return any(not _is_same(line, new.get(_stamp(line))) for line in lines)


def _is_same(line: bytes, new: bytes | None) -> bool:
    """Return whether the bar of a line is that of another line; MACD goes by the bars before and may differ."""
    if new is None or line == new:
        return new is not None
    left, right = _row(line), _row(new)
    return left == right or _numbers(left) == _numbers(right)


def _stamp(line: bytes) -> bytes:
    return line.partition(b",")[0]


def _row(line: bytes) -> list[bytes]:
    return line.split(b",", 6)[:6]


def _numbers(row: Sequence[bytes]) -> Sequence[float | bytes]:
    """Return the numbers of a bar, however they are written; the texts when they are none."""
    try:
        return [float(text or b"-1") for text in row[1:]]  # there may be no volume
    except ValueError:
        return row


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

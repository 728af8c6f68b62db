"""`<symbol>_<timeframe>_bars_macd.csv`: bars with MACD, Signal and Hist, as backtests and other programs read them."""

import hashlib
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


def write_macd_csv(path: Path, bars: BarColumns, size: BarSize) -> Path | None:
    """Write the file unless it is there already; return where an older one went whose bars are not all in the new one.

    Such bars, of a recorder or of another source, are never mixed with these nor lost: the older file is kept beside
    the new one under a name that no program reads bars from.

    Raises:
        ConfigError: when the place cannot be read or written.
    """
    content = encode_macd_csv(bars, size)
    try:
        old = path.read_bytes() if path.exists() else None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); choose another place or free this one") from error
    if old == content:
        return None
    kept = None
    if old is not None and not _stamps(old) <= _stamps(content):
        kept = path.with_name(f"{path.name}.kept-{hashlib.sha256(old).hexdigest()[:8]}")
        replace_file(kept, old)
    replace_file(path, content)
    return kept


def _stamps(content: bytes) -> set[bytes]:
    return {line.partition(b",")[0] for line in content.splitlines()[1:] if line}

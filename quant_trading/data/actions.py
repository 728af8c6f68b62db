"""Corporate actions from a file: symbol, ex_date, kind, value."""

import csv
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from quant_trading.domain.actions import CorporateAction
from quant_trading.domain.errors import ConfigError, DataGap

__all__ = ["read_actions"]

_COLUMNS = ("symbol", "ex_date", "kind", "value")


def read_actions(path: Path, symbols: Sequence[str] | None = None) -> list[CorporateAction]:
    """Return the splits and dividends of a CSV file, by ex-date and then as they stand in it.

    Columns are found by name, in any case and order: symbol, ex_date (2020-08-31), kind (split or dividend) and
    value (new shares for one old; money per share). Other columns are left unread.

    Args:
        path: the file.
        symbols: the ones wanted; None = all.

    Raises:
        ConfigError: when there is no such file.
        DataGap: naming file, line and cure, when a line cannot be understood or stands there twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            places = _places(path, next(rows, []))
            wanted = None if symbols is None else frozenset(symbols)
            found: list[CorporateAction] = []
            lines: dict[tuple[str, date, str, float], int] = {}
            for cells in rows:
                if not cells:
                    continue
                action = _action(f"{path} line {rows.line_num}", cells, places)
                # One company may pay two dividends on a day; the same amount twice is the same line twice.
                key = action.symbol, action.ex_date, action.kind, action.value
                if key in lines:
                    raise DataGap(
                        f"{path} line {rows.line_num}: the {action.kind} of {action.symbol} on {action.ex_date} is the "
                        f"same as in line {lines[key]}; leave one out"
                    )
                lines[key] = rows.line_num
                if wanted is None or action.symbol in wanted:
                    found.append(action)
    except FileNotFoundError as error:
        raise ConfigError(f"corporate actions {path} do not exist; name a file that does") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataGap(f"{path}: cannot be read ({error}); write it as CSV in UTF-8") from error
    found.sort(key=lambda action: action.ex_date)
    return found


def _places(path: Path, header: list[str]) -> list[int]:
    names = [name.strip().lower() for name in header]
    lacking = [name for name in _COLUMNS if name not in names]
    if lacking:
        raise DataGap(
            f"{path} line 1: lacks the column{'s' if len(lacking) > 1 else ''} {', '.join(lacking)}; write symbol, "
            "ex_date, kind, value there"
        )
    return [names.index(name) for name in _COLUMNS]


def _action(where: str, cells: list[str], places: list[int]) -> CorporateAction:
    if len(cells) <= max(places):
        raise DataGap(f"{where}: {len(cells)} cells are too few; write symbol, ex_date, kind, value")
    symbol, day, kind, value = (cells[place].strip() for place in places)
    if not symbol:
        raise DataGap(f"{where}: symbol is missing; write whose action it is")
    try:
        ex_date = date.fromisoformat(day)
    except ValueError:
        raise DataGap(f"{where}: ex_date = {day!r} is no date; write it as 2020-08-31") from None
    named = kind.lower()
    if named != "split" and named != "dividend":
        raise DataGap(f"{where}: kind = {kind!r} is neither split nor dividend; write one of the two")
    try:
        number = float(value)
    except ValueError:
        raise DataGap(f"{where}: value = {value!r} is no number; write 4 for a split of four for one") from None
    try:
        return CorporateAction(symbol, ex_date, "split" if named == "split" else "dividend", number)
    except ValueError as error:
        raise DataGap(f"{where}: {error}") from error

"""Write quant_trading/refdata/xnys_table.py from exchange_calendars (a development dependency).

Run it when the exchange announces a closure, look at the difference, commit it:

    python scripts/make_session_table.py
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import exchange_calendars
import pandas as pd

FIRST, LAST = date(1990, 1, 1), date(2030, 12, 31)
TARGET = Path(__file__).resolve().parents[1] / "quant_trading" / "refdata" / "xnys_table.py"

# The calendar library lists these days without a name.
ONE_OFF_CLOSURES = {
    "1994-04-27": "Funeral of President Nixon",
    "2001-09-11": "Attacks of September 11",
    "2001-09-12": "Attacks of September 11",
    "2001-09-13": "Attacks of September 11",
    "2001-09-14": "Attacks of September 11",
    "2004-06-11": "National day of mourning for President Reagan",
    "2007-01-02": "National day of mourning for President Ford",
    "2012-10-29": "Hurricane Sandy",
    "2012-10-30": "Hurricane Sandy",
    "2018-12-05": "National day of mourning for President G. H. W. Bush",
    "2025-01-09": "National day of mourning for President Carter",
}
HEADER = '''"""Days on which the New York Stock Exchange was or will be closed, or closed early; weekends left out.

Written by scripts/make_session_table.py, reviewed by a person; do not edit by hand.
Future days follow the exchange's rules and change when it announces otherwise.
"""

__all__ = ["EARLY_CLOSES", "FIRST_DAY", "HOLIDAYS", "LAST_DAY"]
'''


def early_close_reason(day: date) -> str:
    """Return why `day` ends early; the exchange has only ever done so around three holidays and one new year."""
    if day.month == 7:
        return "Independence Day"
    if day.month == 11:
        return "Day after Thanksgiving"
    if (day.month, day.day) == (12, 24):
        return "Christmas Eve"
    return "Day after Christmas" if day.day == 26 else "New Year's Eve 1999"


def table_lines() -> Iterator[str]:
    """Yield the lines of the table module."""
    calendar = exchange_calendars.get_calendar("XNYS", start=FIRST.isoformat(), end=LAST.isoformat())
    names = calendar.regular_holidays.holidays(pd.Timestamp(FIRST), pd.Timestamp(LAST), return_name=True)
    yield HEADER
    yield f'FIRST_DAY = "{FIRST}"'
    yield f'LAST_DAY = "{LAST}"'
    yield ""
    yield "# day -> reason"
    yield "HOLIDAYS = {"
    for stamp in pd.bdate_range(FIRST, LAST).difference(calendar.sessions):
        day = stamp.date().isoformat()
        reason = ONE_OFF_CLOSURES[day] if day in ONE_OFF_CLOSURES else str(names[stamp])
        yield f'    "{day}": "{reason}",'
    yield "}"
    yield ""
    yield "# day -> (close in New York, reason)"
    yield "EARLY_CLOSES = {"
    for stamp, close in calendar.schedule["close"].items():
        local = close.tz_convert("America/New_York").strftime("%H:%M")
        if local != "16:00":
            yield f'    "{stamp.date()}": ("{local}", "{early_close_reason(stamp.date())}"),'
    yield "}"


if __name__ == "__main__":
    TARGET.write_text("\n".join(table_lines()) + "\n", encoding="utf-8")
    print(f"wrote {TARGET}")

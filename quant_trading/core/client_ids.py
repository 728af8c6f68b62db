"""The client id of every entry point: fixed, distinct, never drawn at random.

TWS allows one connection per client id and answers a second one with error 326. That refusal is a
fence: it keeps a second desk from trading the same account. An entry point that picked another id
when its own is taken would walk around the fence, so nothing here ever does.

Ids 0 and 1 are left out on purpose: 0 binds the orders a person places by hand in TWS, and 1 is what
most other programs take first.
"""

__all__ = ["CLIENT_IDS", "USER_SCRIPT_CLIENT_ID"]

CLIENT_IDS: dict[str, int] = {
    "trade": 11,
    "live": 12,
    "backtest": 13,
    "smoke": 14,
    "portfolio_tracker": 15,
    "market_data_tracker": 16,
    "fetch_historical_data": 17,
    "doctor": 18,
    "kill": 19,
    "web": 20,
    "data": 21,
}

# What a script of the user's gets when it names none; any id from here on is free for such scripts.
USER_SCRIPT_CLIENT_ID = 100

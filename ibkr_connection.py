"""The connection class under its short name, for scripts beside this file."""

from quant_trading.core.ibkr_connection import IBKRConnection as IBKRConnection

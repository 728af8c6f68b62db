"""A trading desk on Interactive Brokers: write a strategy once, backtest, paper-trade and trade it."""

__version__ = "0.1.0"

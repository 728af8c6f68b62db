"""Every command a person can start, written once for the benchmark and for the test of imports."""

from pathlib import Path

__all__ = ["FRONT_DOORS", "ROOT", "existing"]

ROOT = Path(__file__).resolve().parents[1]

# A file is started by its path, a module with -m.
FRONT_DOORS = (
    "trade.py",
    "scripts/ibkr_smoke.py",
    "scripts/risk_smoke.py",
    "quant_trading.tools.data",
    "quant_trading.tools.demo",
    "quant_trading.tools.doctor",
    "quant_trading.tools.fetch_historical_data",
    "quant_trading.tools.sim",
    "quant_trading.core.portfolio_tracker",
    "quant_trading.data.market_data_tracker",
    "quant_trading.backtesting.run_backtest",
    "quant_trading.visualization.trade_visualizer",
)


def existing() -> list[str]:
    """Return the front doors that have been built."""
    return [door for door in FRONT_DOORS if _file(door).is_file()]


def _file(door: str) -> Path:
    return ROOT / (door if door.endswith(".py") else door.replace(".", "/") + ".py")

"""quantstats and empyrical: the figures of daily returns, each under our own name for it."""

import warnings
from typing import Any

import pandas as pd

from benchmarks.peers.data import daily_returns
from benchmarks.peers.measure import Job, Outcome, Workload, run_adapter

# What both define as we do; quantstats' other figures (its CAGR by calendar, value at risk of a normal
# distribution, ...) are other figures by the same name.
_OF_EMPYRICAL = {
    "total_return": "cum_returns_final", "cagr": "annual_return", "annual_volatility": "annual_volatility",
    "sharpe": "sharpe_ratio", "sortino": "sortino_ratio", "calmar": "calmar_ratio", "max_drawdown": "max_drawdown",
    "omega": "omega_ratio", "stability": "stability_of_timeseries", "tail_ratio": "tail_ratio",
    "downside_risk": "downside_risk", "cvar_5pct": "conditional_value_at_risk", "var_5pct": "value_at_risk",
}  # fmt: skip
_OF_QUANTSTATS = {
    "total_return": "comp", "annual_volatility": "volatility", "sharpe": "sharpe", "sortino": "sortino",
    "max_drawdown": "max_drawdown", "skew": "skew", "kurtosis": "kurtosis", "ulcer_index": "ulcer_index",
    "best_session": "best", "worst_session": "worst", "session_hit_rate": "win_rate", "session_payoff_ratio":
    "payoff_ratio", "session_profit_factor": "profit_factor", "tail_ratio": "tail_ratio", "omega": "omega",
}  # fmt: skip


def tearsheet(job: Job) -> tuple[Any, Any]:
    """Run W6 by the package the settings name."""
    bars = job.bars
    returns = pd.Series(daily_returns(bars), index=pd.DatetimeIndex(bars.start_ns[1:]).normalize())
    if job.settings["by"] == "empyrical":
        import empyrical as package

        names = _OF_EMPYRICAL
    else:
        import quantstats

        package, names = quantstats.stats, _OF_QUANTSTATS
    warnings.simplefilter("ignore")

    def call() -> Any:
        return {ours: float(getattr(package, theirs)(returns)) for ours, theirs in names.items()}

    def read(figures: Any) -> Outcome:
        return Outcome(float(bars.close[-1, 0]), figures=figures, trades=0)

    return call, read


WORKLOADS: dict[str, Workload] = {"W6": tearsheet}

if __name__ == "__main__":
    run_adapter({"quantstats": "quantstats", "empyrical": "empyrical-reloaded", "pandas": "pandas"}, WORKLOADS)

"""numpy and pandas as a person writes them, without an engine: the yardstick of W3."""

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.peers.measure import Job, Outcome, Workload, run_adapter

__all__ = ["lowest_tenth"]

_LOOKBACK, _SHARE, _CAP = 5, 0.1, 0.2


def lowest_tenth(close: Any) -> Any:
    """Return the weights as a DataFrame: the tenth that fell most over five days, equally, at most a fifth each."""
    change = close / close.shift(_LOOKBACK) - 1.0
    count = np.maximum(np.floor(change.count(axis=1) * _SHARE), 1.0)
    chosen = change.rank(axis=1, method="first").le(count, axis=0)
    size = np.minimum(1.0 / count, _CAP).where(change.notna().any(axis=1), 0.0)
    return chosen.astype(np.float64).mul(size, axis=0)


def by_pandas(job: Job) -> tuple[Any, Any]:
    """Weights of the evening before times the day's returns, less the costs of the change."""
    close = pd.DataFrame(job.bars.close, columns=job.bars.names)

    def call() -> Any:
        weight = lowest_tenth(close)
        earned = (weight.shift(1).fillna(0.0) * (close / close.shift(1) - 1.0).fillna(0.0)).sum(axis=1)
        paid = job.cost_rate * weight.diff().fillna(weight).abs().sum(axis=1)
        return job.capital * (1.0 + earned - paid).cumprod()

    return call, _read


def by_numpy(job: Job) -> tuple[Any, Any]:
    """Do the same with a partition of each row; the generator's returns have few ties, which go by column."""
    close = job.bars.close

    def call() -> Any:
        n_bars, n_symbols = close.shape
        count = max(int(n_symbols * _SHARE), 1)
        change = close[_LOOKBACK:] / close[:-_LOOKBACK] - 1.0
        rows = np.arange(len(change))[:, np.newaxis]
        bound = np.partition(change, count - 1, axis=1)[:, count - 1 : count]
        below = change < bound
        # Ties at the bound are taken in the order of the columns until the tenth is full.
        ties = change == bound
        room = count - below.sum(axis=1, keepdims=True)
        chosen = below | (ties & (np.cumsum(ties, axis=1) <= room))
        names = np.nonzero(chosen)[1].reshape(len(change), count)
        size = min(1.0 / count, _CAP)
        day = close[1:] / close[:-1] - 1.0
        earned, stays = np.zeros(n_bars), np.zeros(n_bars)
        earned[_LOOKBACK + 1 :] = size * day[_LOOKBACK:][rows[:-1], names[:-1]].sum(axis=1)
        stays[_LOOKBACK + 1 :] = (chosen[1:] & chosen[:-1]).sum(axis=1)
        paid = np.where(np.arange(n_bars) > _LOOKBACK, 2.0 * size * (count - stays), 0.0)
        paid[_LOOKBACK] = size * count
        return job.capital * np.cumprod(1.0 + earned - job.cost_rate * paid)

    return call, _read


def _read(curve: Any) -> Outcome:
    values = np.asarray(curve, dtype=np.float64)
    return Outcome(float(values[-1]), curve=values, trades=0)


def reversal(job: Job) -> tuple[Any, Any]:
    """Run W3 as the settings say."""
    return by_numpy(job) if job.settings["by"] == "numpy" else by_pandas(job)


WORKLOADS: dict[str, Workload] = {"W3": reversal, "W3L": reversal}

if __name__ == "__main__":
    run_adapter({"pandas": "pandas"}, WORKLOADS)

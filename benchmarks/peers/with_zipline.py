"""zipline: the daily reversal by target percentages, bars ingested as a bundle of its own beforehand.

The bundle goes below the data's folder, never into the person's home. Its calendar is that of New York, so the bars
are laid on its sessions in order; the days of the data itself are not used.
"""

import os
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.peers.measure import Job, Outcome, Workload, run_adapter
from benchmarks.peers.with_pandas import lowest_tenth

_BUNDLE = "walk"


def _ingest(job: Job) -> Any:
    """Register and ingest the bars; return the sessions they lie on."""
    bars = job.bars
    home = job.folder / f"zipline-{bars.close.shape[0]}-{bars.close.shape[1]}"
    os.environ["ZIPLINE_ROOT"] = str(home)
    from zipline.data import bundles
    from zipline.utils.calendar_utils import get_calendar

    calendar = get_calendar("XNYS")
    after = calendar.sessions[calendar.sessions >= pd.Timestamp("2008-01-02")]
    sessions = after[: len(bars.close)]

    def ingest(environ, asset_db_writer, minute_bar_writer, daily_bar_writer, adjustment_writer, calendar,
               start_session, end_session, cache, show_progress, output_dir) -> None:  # fmt: skip
        equities = pd.DataFrame({
            "symbol": bars.names, "asset_name": bars.names, "start_date": sessions[0], "end_date": sessions[-1],
            "first_traded": sessions[0], "auto_close_date": sessions[-1] + pd.Timedelta(days=1), "exchange": "NYSE",
        })  # fmt: skip
        exchanges = pd.DataFrame([["NYSE", "NYSE", "US"]], columns=["exchange", "canonical_name", "country_code"])
        asset_db_writer.write(equities=equities, exchanges=exchanges)

        def frames() -> Any:
            for j in range(len(bars.names)):
                columns = {name: getattr(bars, name)[:, j] for name in ("open", "high", "low", "close", "volume")}
                yield j, pd.DataFrame(columns, index=sessions)

        daily_bar_writer.write(frames())
        adjustment_writer.write()

    bundles.register(_BUNDLE, ingest, calendar_name="XNYS", start_session=sessions[0], end_session=sessions[-1])
    if not home.exists():
        bundles.ingest(_BUNDLE, show_progress=False)
    return sessions


def reversal(job: Job) -> tuple[Any, Any]:
    """Run W3: portfolio value by day."""
    sessions = _ingest(job)
    from zipline import run_algorithm
    from zipline.api import order_target_percent, set_commission, set_slippage, symbols
    from zipline.finance.commission import PerDollar
    from zipline.finance.slippage import NoSlippage

    bars = job.bars

    def call() -> Any:
        weights = lowest_tenth(pd.DataFrame(bars.close, columns=bars.names)).to_numpy()

        def initialize(context: Any) -> None:
            set_slippage(NoSlippage())
            set_commission(PerDollar(job.cost_rate))
            context.assets = symbols(*bars.names)
            context.day = 0

        def handle_data(context: Any, data: Any) -> None:
            wish = weights[context.day]
            for j, asset in enumerate(context.assets):
                if wish[j] or asset in context.portfolio.positions:
                    order_target_percent(asset, wish[j])
            context.day += 1

        benchmark = pd.Series(0.0, index=sessions)
        table = run_algorithm(
            start=sessions[0], end=sessions[-1], initialize=initialize, capital_base=job.capital,
            handle_data=handle_data, bundle=_BUNDLE, benchmark_returns=benchmark, data_frequency="daily",
        )  # fmt: skip
        return table["portfolio_value"]

    def read(values: Any) -> Outcome:
        curve = np.asarray(values, dtype=np.float64)
        return Outcome(float(curve[-1]), curve=curve, trades=0)

    return call, read


WORKLOADS: dict[str, Workload] = {"W3": reversal}

if __name__ == "__main__":
    run_adapter({"zipline": "zipline-reloaded", "pandas": "pandas"}, WORKLOADS)

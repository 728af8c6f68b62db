"""Who is compared on what: every engine with the convention under which it must equal ours, and its size."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["OURS", "PEERS", "WORKLOADS", "Peer", "Workload", "grid_of", "peers_of"]

_MACD = ("W1", "W2a", "W2b")


@dataclass(frozen=True, slots=True)
class Workload:
    """One question put to every engine.

    Attributes:
        title: what it is. data: which bars of data.SHAPES.
        settings: of every engine. compares: "trades" = entries and final equity, "curve" = every value, "figures".
    """

    title: str
    data: str
    settings: Mapping[str, Any]
    compares: str


@dataclass(frozen=True, slots=True)
class Peer:
    """One engine on one workload.

    Attributes:
        name: in the table. environment: of environments.toml. module: of benchmarks.peers. workload: its name.
        options: for the adapter alone. convention: for both, ours answers under it.
        says: the convention in words.
        tolerance: of the equity, relative.
        cut: bars, symbols, or combinations ("first:last" of fast) of a smaller run; its time is scaled up.
    """

    name: str
    environment: str
    module: str
    workload: str
    options: Mapping[str, Any] = field(default_factory=dict)
    convention: Mapping[str, Any] = field(default_factory=dict)
    says: str = ""
    tolerance: float = 1e-9
    cut: Mapping[str, int] = field(default_factory=dict)


# How many values of fast (from 5 on), slow (from 26 on) and signal_span (from 5 on) make so many combinations.
_GRIDS = {10: (5, 1, 2), 500: (10, 10, 5), 1_000: (10, 10, 10), 10_000: (20, 25, 20)}


def grid_of(count: int) -> dict[str, list[int]]:
    """Return a grid of MACD parameters with `count` combinations."""
    fast, slow, signal = _GRIDS[count]
    return {
        "fast": list(range(5, 5 + fast)),
        "slow": list(range(26, 26 + slow)),
        "signal_span": list(range(5, 5 + signal)),
    }


WORKLOADS = {
    "W1": Workload("one symbol, a year of 5-minute bars (19,656), MACD(12,26,9) long/short: trades, equity, figures",
                   "W1", {"capital": 1e7}, "trades"),
    "W2a": Workload("the same on 50 symbols x 2 years (1,965,600 bars)", "W2a", {"capital": 1e8}, "trades"),
    "W2b": Workload("the same on one series of 5,000,000 bars", "W2b", {"capital": 1e8}, "trades"),
    "W3": Workload("daily reversal, 500 symbols x 2,520 days: lowest tenth by five days, at most 20 % each",
                   "W3", {"capital": 1e9}, "curve"),
    "W3L": Workload("the same on 3,000 symbols x 5,040 days", "W3L", {"capital": 1e9}, "curve"),
    "W4": Workload("1,000 combinations of MACD on the bars of W1: final equity, Sharpe ratio, drawdown, trades each",
                   "W1", {"capital": 1e7}, "curve"),
    "W6": Workload("figures of 5,040 daily returns, no benchmark", "W6", {}, "figures"),
}  # fmt: skip

# Parts of W2 for the engines that would take minutes; their rates hardly depend on the number of bars.
_SMALL = {"W2a": {"symbols": 1, "bars": 20_000}, "W2b": {"bars": 20_000}}
_LARGER = {"W2a": {"symbols": 2}, "W2b": {"bars": 80_000}}

_LEFT = "fees as ours, last position left open"
_ALLOCATED = {"accounting": "shares", "cost_bps": 0.0}
_NO_COST = "shares, 0 bps: who pays the fees of a full account differs from engine to engine"


def _each(workloads: tuple[str, ...], cuts: Mapping[str, Mapping[str, int]], **given: Any) -> tuple[Peer, ...]:
    return tuple(Peer(workload=name, cut=cuts.get(name, {}), **given) for name in workloads)


PEERS: tuple[Peer, ...] = (
    *_each(_MACD, {}, name="desk, trades and equity alone", environment="", module="with_desk",
           options={"figures": False}, says="no figures"),
    *_each(_MACD, {}, name="vectorbt rust", environment="vectorbt", module="with_vectorbt",
           options={"engine": "rust"}, says=_LEFT),
    *_each(_MACD, {}, name="vectorbt numba", environment="vectorbt", module="with_vectorbt",
           options={"engine": "numba"}, says=_LEFT),
    *_each(("W1",), {}, name="raptorbt arrays, long only", environment="raptorbt", module="with_raptorbt",
           options={"path": "arrays"}, convention={"seed": "sma", "only": "long"},
           says="seed sma; long or flat, all cash in, fractions of shares"),
    # Thousands of trades with all the cash in leave nothing of it at 5 bps, and nothing to compare.
    *_each(("W2a", "W2b"), {}, name="raptorbt arrays, long only", environment="raptorbt", module="with_raptorbt",
           options={"path": "arrays"}, convention={"seed": "sma", "only": "long", "cost_bps": 0.0},
           says="seed sma; long or flat, all cash in, fractions of shares, 0 bps"),
    *_each(_MACD, _SMALL, name="raptorbt class", environment="raptorbt",
           module="with_raptorbt", options={"path": "class"}, convention={"seed": "sma"},
           says="seed sma, margin account, two orders a turn"),
    *_each(_MACD, _LARGER, name="vnpy_ctastrategy", environment="vnpy",
           module="with_vnpy", says=_LEFT),
    *_each(_MACD, _LARGER, name="backtesting.py",
           environment="backtesting", module="with_backtesting", convention={"close_last": "open"},
           says="last position closed at the last open"),
    *_each(_MACD, _SMALL, name="pybroker", environment="pybroker",
           module="with_pybroker", says=_LEFT),
    *_each(_MACD, _SMALL, name="nautilus_trader", environment="nautilus",
           module="with_nautilus", convention={"fill": "same_close"}, tolerance=1e-6,
           says="filled at the deciding close, each fee rounded to the cent (1e-6)"),
    *_each(_MACD, _SMALL, name="backtrader", environment="backtrader",
           module="with_backtrader", convention={"seed": "sma"}, says="seed sma"),
    *_each(("W3", "W3L"), {}, name="numpy (yardstick)", environment="", module="with_pandas", options={"by": "numpy"},
           says="fixed weights, 5 bps"),
    *_each(("W3", "W3L"), {}, name="pandas (yardstick)", environment="", module="with_pandas",
           options={"by": "pandas"}, says="fixed weights, 5 bps"),
    *_each(("W3",), {}, name="vectorbt rust", environment="vectorbt", module="with_vectorbt",
           options={"engine": "rust"}, convention=_ALLOCATED, says=_NO_COST),
    *_each(("W3",), {}, name="vectorbt numba", environment="vectorbt", module="with_vectorbt",
           options={"engine": "numba"}, convention=_ALLOCATED, says=_NO_COST),
    *_each(("W3",), {"W3": {"bars": 252, "symbols": 100}}, name="bt", environment="bt", module="with_bt",
           convention=_ALLOCATED, says=_NO_COST),
    *_each(("W3",), {"W3": {"bars": 126, "symbols": 100}}, name="zipline", environment="zipline",
           module="with_zipline", convention={"accounting": "shares", "fill": "next_close", "rounding": "down"},
           tolerance=1e-7, says="5 bps, filled at the next close, whole shares cut toward zero (1e-7)"),
    *_each(("W4",), {}, name="vectorbt rust", environment="vectorbt", module="with_vectorbt",
           options={"engine": "rust"}, says=_LEFT),
    *_each(("W4",), {"W4": {"combinations": 500}}, name="vectorbt numba", environment="vectorbt",
           module="with_vectorbt", options={"engine": "numba"}, says=_LEFT),
    *_each(("W4",), {}, name="raptorbt batch, long only", environment="raptorbt", module="with_raptorbt",
           convention={"seed": "sma", "only": "long"}, says="seed sma; long or flat, all cash in"),
    *_each(("W4",), {"W4": {"combinations": 10}}, name="backtesting.py optimize", environment="backtesting",
           module="with_backtesting", convention={"close_last": "open"}, says="last position closed at the last open"),
    *_each(("W6",), {}, name="empyrical, 13 figures", environment="quantstats", module="with_quantstats",
           options={"by": "empyrical"}),
    *_each(("W6",), {}, name="quantstats, 15 figures", environment="quantstats", module="with_quantstats",
           options={"by": "quantstats"}),
)  # fmt: skip

OURS = "desk"


def peers_of(workload: str, names: tuple[str, ...]) -> list[Peer]:
    """Return the engines of `workload` whose name begins with one of `names` or whose environment is; () = all."""
    return [
        peer
        for peer in PEERS
        if peer.workload == workload
        and (not names or any(peer.name.startswith(name) or peer.environment == name for name in names))
    ]

"""Fault lists from a seed: what a bad day may bring, the same for the same number everywhere.

Each list is data like that of a written scenario, so that a day which broke something can be kept as a file.
"""

from collections.abc import Callable
from typing import Any

from quant_trading.tws_sim.noise import mix, name_key

__all__ = ["chaos_faults", "chaos_scenario"]

_MOST = 8


class _Dice:
    """Seeded choices, addressed by a running number."""

    def __init__(self, seed: int) -> None:
        self._key = mix(seed, name_key("chaos"))
        self._rolls = 0

    def upto(self, sides: int) -> int:
        """Return a number from 1 to `sides`."""
        self._rolls += 1
        return 1 + mix(self._key, self._rolls) % sides

    def one_of(self, choices: tuple[Any, ...]) -> Any:
        """Return one of the choices."""
        return choices[self.upto(len(choices)) - 1]


_ANSWERS = ("openOrder", "orderStatus", "execDetails", "commissionReport")
_REQUESTS = ("placeOrder", "cancelOrder", "reqExecutions", "reqAllOpenOrders", "reqPositions", "reqCurrentTime")
_ENDS = ("openOrderEnd", "positionEnd", "execDetailsEnd", "completedOrdersEnd", "accountDownloadEnd")
_CODES = (110, 201, 203, 321, 10349, 399, 2110, 161, 10148)


def _on_answer(dice: _Dice, do: str, **values: Any) -> dict[str, Any]:
    return {"when": f"send:{dice.one_of(_ANSWERS)}#{dice.upto(20)}", "do": do, **values}


def _later(dice: _Dice, do: str, **values: Any) -> dict[str, Any]:
    return {"when": f"t=+{dice.upto(600)}", "do": do, **values}


_MAKERS: tuple[Callable[[_Dice], dict[str, Any]], ...] = (
    lambda dice: {
        "when": f"recv:{dice.one_of(_REQUESTS)}#{dice.upto(6)}", "do": "drop", "after": dice.one_of((True, False)),
    },
    lambda dice: {"when": f"send:byte#{dice.upto(20_000)}", "do": "drop"},
    lambda dice: _on_answer(dice, "swallow"),
    lambda dice: _on_answer(dice, "duplicate", times=dice.upto(3), seconds=float(dice.upto(5))),
    lambda dice: _on_answer(dice, "delay", seconds=float(dice.upto(90))),
    lambda dice: _on_answer(dice, "reorder"),
    lambda dice: _on_answer(dice, "mutate", how=dice.one_of(("flip", "truncate", "extend"))),
    lambda dice: {"when": f"send:execDetails#{dice.upto(6)}", "do": "correct", "price": 100.0 + dice.upto(50),
                  "seconds": float(dice.upto(120))},
    lambda dice: {"when": f"send:{dice.one_of(_ENDS)}#{dice.upto(3)}", "do": "swallow"},
    lambda dice: {"when": f"recv:placeOrder#{dice.upto(6)}", "do": "reject", "code": dice.one_of((110, 201, 203, 321))},
    lambda dice: {"when": f"recv:placeOrder#{dice.upto(6)}", "do": "error", "code": dice.one_of(_CODES)},
    lambda dice: _later(dice, "lose_link", seconds=float(dice.upto(120)), restore=dice.one_of((1101, 1102)),
                        reports=dice.one_of(("delayed", "lost"))),
    lambda dice: _later(dice, "farm", name=dice.one_of(("usfarm", "ushmds")), seconds=float(dice.upto(60)),
                        resumes=dice.one_of((True, False))),
    lambda dice: _later(dice, "restart", seconds=float(dice.upto(180)), order_ids=dice.one_of(("keep", "rollback"))),
    lambda dice: _later(dice, "freeze", seconds=float(dice.upto(120))),
    lambda dice: _later(dice, "half_open"),
    lambda dice: _later(dice, "drop"),
    lambda dice: _later(dice, "refuse", times=dice.upto(3)),
    lambda dice: _later(dice, "linger", seconds=float(dice.upto(60))),
    lambda dice: _later(dice, "fragment", bytes=dice.upto(7)),
    lambda dice: _later(dice, "compete", seconds=float(dice.upto(60))),
    lambda dice: _later(dice, "latency", model={"default": [0.0, dice.upto(40) / 10]}),
)  # fmt: skip


def chaos_faults(seed: int) -> list[dict[str, Any]]:
    """Return one to eight entries of a scenario, a function of `seed` alone."""
    dice = _Dice(seed)
    return [dice.one_of(_MAKERS)(dice) for _ in range(dice.upto(_MOST))]


def chaos_scenario(seed: int) -> dict[str, Any]:
    """Return a whole scenario, ready to be written to a file."""
    return {"about": f"A bad day, made from seed {seed}.", "seed": seed, "faults": chaos_faults(seed)}

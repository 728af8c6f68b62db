"""When the conditions of an order come true: found on the tape, not waited for."""

from quant_trading.tws_sim.conditions import Condition, are_met
from quant_trading.tws_sim.scan import Scanner
from quant_trading.tws_sim.tape import Contract, Tape

__all__ = ["ConditionWatch"]


class ConditionWatch:
    """Looks for the first moment at which conditions hold together."""

    def __init__(self, tape: Tape, scanner: Scanner) -> None:
        self._tape = tape
        self._scanner = scanner
        self._contracts = {contract.con_id: contract for contract in tape.contracts()}
        self._directory = getattr(tape, "directory", None)

    def first_met(self, conditions: tuple[Condition, ...], from_ns: int, until_ns: int, outside: bool) -> int | None:
        """Return the first moment in [from_ns, until_ns) at which the conditions hold."""
        moment: int | None = from_ns
        while moment is not None and moment < until_ns:
            false = [condition for condition in conditions if not self._is_true(condition, moment, outside)]
            if are_met(conditions, false):
                return moment
            later = [self._next_true(condition, moment, until_ns, outside) for condition in false]
            moment = min((found for found in later if found is not None), default=None)
        return None

    def _is_true(self, condition: Condition, at_ns: int, outside: bool) -> bool:
        if not condition.is_price:
            return (at_ns >= condition.at_ns) == condition.is_more or at_ns == condition.at_ns
        contract = self._contract(condition.con_id)
        if contract is None:
            return False
        quote = self._tape.quote(contract, at_ns)
        if quote is not None:
            is_there = quote.last >= condition.price if condition.is_more else quote.last <= condition.price
            if is_there:
                return True
        reach = self._scanner.first_reach(
            contract, condition.price, not condition.is_more, at_ns, at_ns + 1, outside_rth=outside
        )
        return reach is not None

    def _next_true(self, condition: Condition, after_ns: int, until_ns: int, outside: bool) -> int | None:
        if not condition.is_price:
            return condition.at_ns if condition.is_more and condition.at_ns > after_ns else None
        contract = self._contract(condition.con_id)
        if contract is None:
            return None
        found = self._scanner.first_reach(
            contract, condition.price, not condition.is_more, after_ns + 1, until_ns, outside_rth=outside
        )
        return None if found is None else found[0]

    def _contract(self, con_id: int) -> Contract | None:
        found = self._contracts.get(con_id)
        if found is None and self._directory is not None:
            found = self._directory.by_id(con_id)
        return found

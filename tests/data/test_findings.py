"""How findings are shown: grouped, the worst first."""

from quant_trading.data.findings import Finding, grouped


def test_many_alike_become_one_and_errors_come_first() -> None:
    day = 86_400 * 10**9
    many = [Finding("low_volume", "warning", "AAPL", i * day, i * day, 1, f"day {i}") for i in range(1, 6)]
    jump = Finding("jump", "warning", "AAPL", day, day, 1, "a jump")
    bad = Finding("bad_value", "error", "MSFT", day, day, 1, "a bad value")
    few = [Finding("stale", "info", "AAPL", i * day, i * day, 1, f"stale {i}") for i in range(1, 4)]
    shown = grouped([*many, *few, jump, bad])
    assert [finding.kind for finding in shown] == ["bad_value", "jump", "low_volume", "stale", "stale", "stale"]
    one = shown[2]
    assert (one.first_ns, one.last_ns, one.count) == (day, 5 * day, 5)
    assert one.message == "5 times; the first: day 1"

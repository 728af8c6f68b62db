"""The fixtures in the suite of somebody else, run as pytest runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "quant_trading.tws_sim.pytest_plugin"


def run(pytester: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    """Run a test file in a process of its own, with no plugin but ours."""
    pytester.makepyfile(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        patch.setenv("PYTHONPATH", str(ROOT))
        # A client in plain code leaves its event loop to the end of the process; when the collector meets it
        # before, that is the client's affair and not ours.
        leftovers = ("-W", "ignore::ResourceWarning", "-W", "ignore::pytest.PytestUnraisableExceptionWarning")
        return pytester.runpytest_subprocess("-p", PLUGIN, "--strict-markers", "-W", "error", *leftovers, *options)


@pytest.mark.slow
def test_a_client_finds_a_market_on_the_port(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        from ib_async import IB, MarketOrder, Stock

        def trade(port):
            ib = IB()
            ib.connect("127.0.0.1", port, clientId=1)
            trade = ib.placeOrder(Stock("AAPL", "SMART", "USD"), MarketOrder("BUY", 10))
            while not trade.isDone():
                ib.waitOnUpdate(timeout=5)
            ib.disconnect()
            return trade.fills[0].execution.price

        def test_one(tws):
            price = trade(tws.port)
            [execution] = tws.call(lambda simulator: simulator.executions)
            assert float(execution.price) == price
            assert execution.account == "DU1234567"

        def test_two_is_a_market_of_its_own_with_the_same_prices(tws):
            first = trade(tws.port)
            assert tws.call(lambda simulator: len(simulator.executions)) == 1
            assert trade(tws.port) == first
        """,
    )
    result.assert_outcomes(passed=2)


@pytest.mark.slow
def test_a_day_passes_in_virtual_time(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import asyncio
        import pytest
        from ib_async import IB, Stock

        @pytest.mark.tws(now="2026-11-19 09:30")
        def test_a_session(tws_virtual):
            async def watch():
                ib = IB()
                await ib.connectAsync(tws_virtual.host, tws_virtual.port, clientId=1)
                before = await ib.reqCurrentTimeAsync()
                await asyncio.sleep(6.5 * 3600)
                after = await ib.reqCurrentTimeAsync()
                ib.disconnect()
                return (after - before).total_seconds()

            assert round(tws_virtual.run(watch())) == 23400
        """,
    )
    result.assert_outcomes(passed=1)


@pytest.mark.slow
def test_the_marker_sets_the_scene_and_the_nearest_one_wins(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import pytest
        from decimal import Decimal

        pytestmark = pytest.mark.tws(now="2026-11-19 12:00", config={"accounts": ("DU1", "DU2")})

        def look(tws):
            return tws.call(lambda s: (s.now_ns, s.config.accounts, s.config.cash))

        def test_module(tws):
            assert look(tws) == (1795107600_000000000, ("DU1", "DU2"), Decimal(1000000))

        @pytest.mark.tws(config={"cash": 5000.5, "positions": {"AAPL": (10, 99.5)}})
        def test_nearest(tws):
            assert look(tws) == (1795107600_000000000, ("DU1234567",), Decimal("5000.5"))
            held = tws.call(lambda s: s.ledgers["DU1234567"].positions)
            assert [p.quantity for p in held.values()] == [10]

        @pytest.mark.tws(source="seed:8", speed=1000)
        def test_market_and_clock(tws):
            seen = set()
            while len(seen) < 3:
                seen.add(look(tws)[0])

        @pytest.mark.tws(now="2026-11-19T17:00:00+00:00")
        def test_zone(tws):
            assert look(tws)[0] == 1795107600_000000000
        """,
    )
    result.assert_outcomes(passed=4)


@pytest.mark.slow
def test_a_wrong_marker_is_an_error_that_says_so(pytester: pytest.Pytester) -> None:
    wrong = {
        "when=1": "does not take when; it takes source, now, config, speed by name",
        "'seed:7'": "does not take 'seed:7'",
        "now='noon'": "now = 'noon' is no moment",
        "source='nowhere'": "nowhere",
        "config={'cash': 'much'}": "cash",
        "config={'money': 1}": "unexpected keyword argument 'money'",
    }
    tests = [f"@pytest.mark.tws({words})\ndef test_{k}(tws): pass\n" for k, words in enumerate(wrong)]
    result = run(pytester, "\n".join(["import pytest", *tests]))
    result.assert_outcomes(errors=len(wrong))
    # pytest heads the report of each with its name.
    reports = result.stdout.str().split("ERROR at setup of test_")[1:]
    assert [report.partition(" ")[0] for report in reports] == [str(k) for k in range(len(wrong))]
    for (arguments, words), report in zip(wrong.items(), reports, strict=True):
        assert words in report, arguments


def test_a_suite_that_does_not_use_it_loads_nothing_of_it(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import sys

        def test_nothing_is_imported():
            ours = {name for name in sys.modules if name.startswith("quant_trading")}
            assert ours == {"quant_trading", "quant_trading.tws_sim", "quant_trading.tws_sim.pytest_plugin"}
            assert not {"numpy", "pyarrow", "ib_async"} & set(sys.modules)
        """,
    )
    result.assert_outcomes(passed=1)


def test_it_is_an_entry_point_and_costs_next_to_nothing() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"tws_sim": PLUGIN}
    code = f"import pytest, time; start = time.process_time(); import {PLUGIN}; print(time.process_time() - start)"
    seconds = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # Measured 2 ms; a tenth of a second would be somebody else's heavy import.
    assert float(seconds) < 0.1

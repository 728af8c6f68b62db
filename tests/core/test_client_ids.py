"""Client ids: distinct, fixed and never one that others take."""

from quant_trading.core.client_ids import CLIENT_IDS, USER_SCRIPT_CLIENT_ID


def test_every_entry_point_has_its_own_client_id() -> None:
    ids = [*CLIENT_IDS.values(), USER_SCRIPT_CLIENT_ID]
    assert len(set(ids)) == len(ids)


def test_no_entry_point_takes_the_id_that_binds_manual_orders_or_the_one_everybody_takes() -> None:
    assert not {0, 1} & set(CLIENT_IDS.values())


def test_user_scripts_have_room_above_the_table() -> None:
    assert max(CLIENT_IDS.values()) < USER_SCRIPT_CLIENT_ID < 123  # 123 is the specification's example script


def test_every_entry_point_the_design_names_is_in_the_table() -> None:
    wanted = {
        "trade", "live", "backtest", "smoke", "portfolio_tracker", "market_data_tracker", "fetch_historical_data",
        "doctor", "kill", "web",
    }  # fmt: skip
    assert wanted <= set(CLIENT_IDS)

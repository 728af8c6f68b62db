"""One side of a recording, played again: what is said when, and to whom orders are not said."""

import pytest

from quant_trading.tws_sim.player import Player, ReplayRefused
from quant_trading.tws_sim.transcript import Direction, Record, parse_record, wire_bytes

GREETING = (
    "* 1 opened",
    "> 1 hello text=v157..178",
    '< 1 version serverVersion=178 time="20261119 10:00:00 EST"',
    '> 1 startApi version=2 clientId=1 optionalCapabilities=""',
    "< 1 managedAccounts version=1 accounts=DU0000001",
    "< 1 nextValidId version=1 orderId=1",
)
CANCEL = '> 1 cancelOrder version=1 orderId=1 manualCancelOrderTime=""'


def script(*lines: str) -> list[Record]:
    """Return the lines as records, a millisecond apart."""
    return [parse_record(f"0.{place:03d}000 {line}") for place, line in enumerate([*GREETING, *lines])]


def names(player: Player) -> list[str]:
    return [record.name for record in player.heard if record.direction is not Direction.LINK]


def answer(player: Player, *lines: str) -> None:
    """Let the other side say these lines."""
    for line in lines:
        player.receive(wire_bytes(parse_record(f"0.000000 {line}"), 178))


ALL = 10**9


def test_each_message_waits_for_what_was_heard_before_it() -> None:
    player = Player(script("> 1 reqCurrentTime version=1", "< 1 currentTime version=1 time=5"), Direction.CLIENT)
    player.play_until(ALL)
    assert names(player) == ["hello"]
    answer(player, GREETING[2])
    assert names(player) == ["hello", "version", "startApi"]
    answer(player, GREETING[5])
    assert names(player)[3:] == ["nextValidId"]
    answer(player, GREETING[4])
    assert names(player)[4:] == ["managedAccounts", "reqCurrentTime"]
    assert not player.is_done
    answer(player, "< 1 currentTime version=1 time=6")
    assert player.is_done
    assert player.waited == 0


def test_what_does_not_come_is_waited_for_until_patience_ends() -> None:
    player = Player(script("> 1 reqCurrentTime version=1"), Direction.CLIENT)
    player.play_until(ALL)
    answer(player, GREETING[2], GREETING[4])
    assert "reqCurrentTime" not in names(player)
    assert player.go_on()
    assert names(player)[-1] == "reqCurrentTime"
    assert not player.go_on()
    assert player.waited == 1


def test_what_comes_on_top_does_not_disturb() -> None:
    player = Player(script("> 1 reqCurrentTime version=1"), Direction.CLIENT)
    player.play_until(ALL)
    tick = "< 1 tickSize version=6 reqId=1 tickType=0 size=5"
    answer(player, GREETING[2], tick, tick, tick)
    assert "reqCurrentTime" not in names(player)
    answer(player, *GREETING[4:])
    assert names(player)[-1] == "reqCurrentTime"


def test_nothing_is_said_before_its_time() -> None:
    player = Player(script("> 1 reqCurrentTime version=1", "* 1 closed by=client how=end"), Direction.CLIENT)
    answer_now = [GREETING[2], *GREETING[4:]]
    player.play_until(5_000)
    answer(player, *answer_now)
    assert player.next_at_us() == 6_000
    assert "reqCurrentTime" not in names(player)
    player.play_until(6_000)
    assert names(player)[-1] == "reqCurrentTime"
    assert not player.hangs_up
    player.play_until(ALL)
    assert player.hangs_up
    assert player.next_at_us() is None


def test_the_servers_accounts_take_the_place_of_the_recorded_ones_and_back() -> None:
    order = "> 1 reqAccountUpdates version=2 subscribe=1 account=DU0000001"
    player = Player(script(order), Direction.CLIENT)
    player.play_until(ALL)
    answer(player, GREETING[2], "< 1 managedAccounts version=1 accounts=DU999", GREETING[5])
    assert player.data_to_send().endswith(b"6\x002\x001\x00DU999\x00")
    assert player.heard[-1].get("account") == "DU0000001"
    answer(player, '< 1 error version=2 reqId=1 code=201 text="no money in DU999" rejectJson=""')
    assert player.heard[-1].get("text") == "no money in DU0000001"


@pytest.mark.parametrize("account", ["U1234567", "F7654321", "DU1,U2"])
def test_orders_are_not_played_to_real_money(account: str) -> None:
    player = Player(script(CANCEL), Direction.CLIENT)
    player.play_until(ALL)
    with pytest.raises(ReplayRefused, match=r"cancelOrder is not played: account U1|F7|U2"):
        answer(player, GREETING[2], GREETING[5], f"< 1 managedAccounts version=1 accounts={account}")
    assert b"\0004\0" not in player.data_to_send()


def test_the_servers_side() -> None:
    player = Player(script("> 1 reqCurrentTime version=1", "< 1 currentTime version=1 time=5"), Direction.SERVER)
    player.play_until(ALL)
    assert names(player) == []
    answer(player, GREETING[1])
    assert names(player) == ["hello", "version"]
    answer(player, GREETING[3], "> 1 reqCurrentTime version=1")
    assert names(player)[-1] == "currentTime"
    assert player.is_done

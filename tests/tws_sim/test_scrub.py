"""Account numbers do not leave the machine."""

from hypothesis import given
from hypothesis import strategies as st

from quant_trading.tws_sim.scrub import Scrubber


def test_an_account_is_the_same_pseudonym_everywhere() -> None:
    scrubber = Scrubber()
    scrubber.learn("DU7654321,U1234567,")
    assert scrubber.text("U1234567") == "DU000002"
    assert scrubber.text("Order rejected - reason:Account DU7654321's margin (U1234567)") == (
        "Order rejected - reason:Account DU0000001's margin (DU000002)"
    )
    assert scrubber.text("F98765") == "DU0003"


def test_other_texts_stay() -> None:
    scrubber = Scrubber()
    for text in ("AAPL", "SPDRU12345678", "US0378331005", "127.0.0.1", "trader-pc.lan", "run1-U12", "DU", "1234567"):
        assert scrubber.text(text) == text


def test_a_name_that_looks_like_nothing_is_learnt_from_the_server() -> None:
    scrubber = Scrubber()
    assert scrubber.text("PAPERACC1") == "PAPERACC1"
    scrubber.learn("PAPERACC1")
    assert scrubber.text("for PAPERACC1.") == "for DU0000001."
    assert scrubber.text("PAPERACC12") == "PAPERACC12"


def test_bytes_keep_their_length() -> None:
    scrubber = Scrubber()
    # A protobuf string: tag 0x0a, length 9, then the text; here a length of 9 and a letter stand before it.
    assert scrubber.data(b"\x0a\x09DU7654321\x12\x01Z") == b"\x0a\x09DU0000001\x12\x01Z"
    assert scrubber.data(b"\xff\x00") == b"\xff\x00"


@given(st.from_regex(r"D?[UFI][0-9]{5,9}", fullmatch=True), st.sampled_from(["{}", "of {}: {}", "({})"]))
def test_no_account_is_left_and_twice_is_once(account: str, words: str) -> None:
    scrubber = Scrubber()
    text = words.replace("{}", account)
    once = scrubber.text(text)
    pseudonym = scrubber.pseudonyms[account]
    assert once == text.replace(account, pseudonym)
    assert scrubber.text(once) == once or account == pseudonym

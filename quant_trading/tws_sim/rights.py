"""What market data an account has subscribed to, and what TWS says when it has not."""

from collections.abc import Mapping
from enum import Enum

__all__ = ["ANY_SYMBOL", "MarketRights", "Right"]

ANY_SYMBOL = "*"


class Right(Enum):
    """How much data there is for a symbol; the values are what a user writes.

    Documented: the codes and what each says; 10197 leaves a client without data until the other session ends.
    """

    LIVE = "live"
    DELAYED = "delayed"  # 354 to who wants live data, 10167 and delayed data to who takes it
    API_EXTRA = "10089"  # the same for who lacks the subscription for the API: 10089 in place of 354
    PARTIAL = "10090"  # some ticks need a subscription, the others come
    NOT_ENABLED = "10168"  # not subscribed, and delayed data is not enabled
    NONE = "354"
    COMPETING = "10197"


class MarketRights:
    """Rights by symbol; "*" stands for all others. They can change while the market runs."""

    def __init__(self, rights: Mapping[str, str]) -> None:
        """Take the words.

        Raises:
            ValueError: an unknown word; the message lists the known ones.
        """
        self._rights: dict[str, Right] = {}
        for symbol, word in rights.items():
            self.set(symbol, word)

    def set(self, symbol: str, word: str) -> None:
        """Change what there is for a symbol from now on.

        Raises:
            ValueError: an unknown word.
        """
        try:
            self._rights[symbol.upper()] = Right(word)
        except ValueError:
            known = ", ".join(right.value for right in Right)
            raise ValueError(f"market_data: {symbol} = {word!r} is unknown; write one of {known}") from None

    def of(self, symbol: str) -> Right:
        """Return what there is for a symbol."""
        return self._rights.get(symbol.upper(), self._rights.get(ANY_SYMBOL, Right.LIVE))

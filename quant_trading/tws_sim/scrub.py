"""Account numbers made anonymous: the same account is the same pseudonym wherever it stands.

Everything else is kept, also host names and order references. A pseudonym is as long as the account it
stands for, so that it also fits into the length-prefixed strings of a protobuf message.
"""

import re

__all__ = ["Scrubber"]

# IBKR's account ids: U1234567, DU1234567, F and DF (advisors), I and DI (introducing brokers) (reported).
_ACCOUNT = re.compile(r"(?<![A-Za-z0-9])D?[UFI][0-9]{5,9}(?![0-9])")
_SHORTEST_WIDTH = 4


class Scrubber:
    """Replaces account ids, in the order in which they are first met: DU0000001, DU0000002, ...

    Attributes:
        pseudonyms: by account id.
    """

    def __init__(self) -> None:
        self.pseudonyms: dict[str, str] = {}
        self._given: set[str] = set()
        self._others: re.Pattern[str] | None = None

    def learn(self, accounts: str) -> None:
        """Take the list a server announces, comma-separated: these are accounts, whatever they look like."""
        for account in filter(None, accounts.split(",")):
            self._pseudonym(account)
        unusual = [re.escape(name) for name in self.pseudonyms if not _ACCOUNT.fullmatch(name)]
        if unusual:
            longest_first = sorted(unusual, key=len, reverse=True)
            self._others = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(longest_first)})(?![A-Za-z0-9])")

    def text(self, text: str) -> str:
        """Return `text` with pseudonyms in place of accounts."""
        if self._others is not None:
            text = self._others.sub(lambda match: self._pseudonym(match[0]), text)
        # Most fields are numbers and short words; they are spared the search.
        return text if len(text) < 6 else _ACCOUNT.sub(lambda match: self._pseudonym(match[0]), text)

    def data(self, data: bytes) -> bytes:
        """Return bytes with pseudonyms in place of accounts; the length stays the same."""
        # Every byte is one character of latin-1, and an account id is ASCII: nothing else is touched. In a
        # protobuf message the byte before a string is its length, which may look like a letter or a digit.
        text = data.decode("latin-1")
        for match in list(re.finditer(r"D?[UFI][0-9]{5,9}", text)):
            pseudonym = self._pseudonym(match[0])
            if len(pseudonym) == len(match[0]):
                text = text[: match.start()] + pseudonym + text[match.end() :]
        return text.encode("latin-1")

    def _pseudonym(self, account: str) -> str:
        known = self.pseudonyms.get(account)
        if known is None and account in self._given:
            # Has been scrubbed already, by an earlier message of the same transcript.
            return account
        if known is None:
            width = max(_SHORTEST_WIDTH, len(account) - len("DU"))
            number = len(self.pseudonyms) + 1
            known = self.pseudonyms[account] = f"DU{number:0{width}d}"
            self._given.add(known)
        return known

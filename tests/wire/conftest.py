"""A client library that cannot read a message logs it and goes on: here that fails the test."""

import logging
import re
from collections.abc import Iterator

import pytest

_ERROR_CODE = re.compile(r"Error (\d+), reqId")


class IbAsyncLog(logging.Handler):
    """Collects ERROR records of every `ib_async` logger; a test names the ones it provokes."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._codes: set[int] = set()
        self._words: set[str] = set()
        self._records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(f"{record.name}: {record.getMessage()}")

    def expect(self, *codes: int, words: str = "") -> None:
        """Allow TWS errors of these codes, or records that hold `words`."""
        self._codes.update(codes)
        if words:
            self._words.add(words)

    def unexpected(self) -> list[str]:
        """Return the records nobody has named."""
        return [record for record in self._records if not self._is_expected(record)]

    def _is_expected(self, record: str) -> bool:
        match = _ERROR_CODE.search(record)
        if match is not None and int(match[1]) in self._codes:
            return True
        return any(words in record for words in self._words)


@pytest.fixture(autouse=True)
def ib_async_log(request: pytest.FixtureRequest) -> Iterator[IbAsyncLog]:
    """Give the log that judges a test instead of the common rule: it wants to know which errors are provoked."""
    request.node.add_marker(pytest.mark.expects_client_errors)
    handler = IbAsyncLog()
    logger = logging.getLogger("ib_async")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    assert handler.unexpected() == []

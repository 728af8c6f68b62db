"""The clients' processes live as long as the tests: some libraries take longer to import than the scenario to run."""

from collections.abc import Iterator

import pytest

from tests.clients.runner import stop_all


@pytest.fixture(autouse=True, scope="session")
def no_process_left() -> Iterator[None]:
    yield
    stop_all()

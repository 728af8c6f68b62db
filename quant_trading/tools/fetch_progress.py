"""How a download goes on: a bar on a terminal, a line now and then elsewhere."""

from collections.abc import Callable
from typing import Protocol

__all__ = ["PlainProgress", "Progress", "RichProgress", "Tally"]

_LINE_SECONDS = 10.0


class Tally:
    """What has come so far.

    Args:
        pages: how many are to be asked.
        monotonic: seconds.
        least_seconds: how long so many pages take by the pacing rules alone.
    """

    def __init__(self, pages: int, monotonic: Callable[[], float], least_seconds: Callable[[int], float]) -> None:
        self.pages = pages
        self.done = self.bars = 0
        self._monotonic = monotonic
        self._least_seconds = least_seconds
        self._began = monotonic()

    @property
    def seconds(self) -> float:
        """Return how long it has taken."""
        return self._monotonic() - self._began

    def count(self, bars: int) -> None:
        """Count a page that was answered."""
        self.done += 1
        self.bars += bars

    def words(self) -> str:
        """Return pages, bars, bars a second and the time that is left."""
        seconds = self.seconds
        rate = self.bars / seconds if seconds > 0.0 else 0.0
        left = self.pages - self.done
        text = f"{self.done:,} of {self.pages:,} pages, {self.bars:,} bars, {rate:,.0f} bars/s"
        if not left or not self.done:
            return text
        return f"{text}, {clock_words(max(seconds / self.done * left, self._least_seconds(left)))} left"


def clock_words(seconds: float) -> str:
    """Return a duration as "1:02:03" or "2:03"."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


class Progress(Protocol):
    """Takes what there is to show."""

    def say(self, text: str) -> None:
        """Show a line that stays."""

    def show(self, symbol: str, tally: Tally) -> None:
        """Show how far it has come; `symbol` is the one of the last page."""

    def end(self) -> None:
        """Take away what does not stay."""


class PlainProgress:
    """Lines; of the state one every ten seconds at most."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._next_seconds = _LINE_SECONDS

    def say(self, text: str) -> None:
        self._write(text)

    def show(self, symbol: str, tally: Tally) -> None:
        if tally.seconds >= self._next_seconds:
            self._next_seconds = tally.seconds + _LINE_SECONDS
            self._write(f"{symbol}: {tally.words()}")

    def end(self) -> None:
        pass


class RichProgress:
    """A bar that stays on the last line of a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[words]}"),
        )
        self._console = Console()
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._task = self._progress.add_task("", words="")
        self._progress.start()

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, symbol: str, tally: Tally) -> None:
        self._progress.update(
            self._task, description=symbol, total=tally.pages, completed=tally.done, words=tally.words()
        )

    def end(self) -> None:
        self._progress.stop()

"""Exceptions, classed by what the desk does next."""


class DeskError(Exception):
    """Base of every error the desk raises on purpose.

    The message is one line: what was received, from where, what was expected, and the cure.
    `exit_code` is what a front door returns to the shell.
    """

    exit_code = 1


class UsageError(DeskError):
    """The command line cannot be carried out as written: say how to write it."""

    exit_code = 2


class ConfigError(DeskError):
    """A setting, file or strategy name is wrong: stop before connecting."""

    exit_code = 2


class ConnectionFailed(DeskError):
    """TWS could not be reached or did not answer: nothing was sent."""

    exit_code = 3


class ConnectionLost(DeskError):
    """The session broke while in use: reconnect, then reconcile."""

    exit_code = 3


class AccountRefused(DeskError):
    """The account does not fit the mode (paper or live): stop before any order."""

    exit_code = 4


class PlanRefused(DeskError):
    """The desk will not trade now (stale bars, unfinished earlier plan): nothing was sent."""

    exit_code = 5


class DataGap(DeskError):
    """Bars are missing or unusable: skip the symbol and go on, or stop if none is left."""

    exit_code = 6


class JournalError(DeskError):
    """The journal cannot be read or written: stop at once."""

    exit_code = 20


class ProtocolError(DeskError):
    """The peer said something that cannot be understood: close that connection."""

    exit_code = 3

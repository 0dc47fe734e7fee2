"""Timeouts: a block's budget, an operation's own timeout, a client's default."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from mongospec_core.errors import OptionError, shown

_block: ContextVar[float] = ContextVar("mongospec_deadline", default=math.inf)

now: Callable[[], float] = time.monotonic


@contextmanager
def timeout(seconds: float | None) -> Generator[None]:
    """Limit all operations in the block to *seconds* together, as ``pymongo.timeout`` does.

    The earliest deadline of nested blocks, an operation's own ``timeout=`` and ``init(timeout=)``
    applies. The client measures the time, so it also ends the wait for a server that hangs; commands
    that accept it also carry ``maxTimeMS``. Tasks that are started in the block share its budget.

    :param seconds: the budget; None adds no limit.
    :raises OptionError: it is negative or not a number.
    :raises OperationTimeoutError: from the operation that was running when the time was up (the
        ``outcome`` of a write is ``"unknown"``), and from every later one in the block (nothing is
        sent then: ``"not_applied"``).

    .. code-block:: python

        with timeout(2):
            user = await User.find_one({"email": "alice@example.com"})
            await user.save()
    """
    before = _block.get()
    _block.set(min(before, end_of(seconds)))
    try:
        yield
    finally:
        # By assignment: a token can only be reset in its own context, and the last step of an async
        # generator may run in another one.
        _block.set(before)


@contextmanager
def no_timeout() -> Generator[None]:
    """Ignore the surrounding blocks' deadlines, to clean up after they have passed."""
    before = _block.get()
    _block.set(math.inf)
    try:
        yield
    finally:
        _block.set(before)


block_end: Callable[[], float] = _block.get
"""The deadline of the surrounding blocks, by :data:`now`; infinity without one."""


def end_of(seconds: float | None, operation: str = "") -> float:
    """Return the moment that is *seconds* from now.

    :param operation: its name, for the error.
    :raises OptionError: *seconds* is negative or not a number.
    """
    if seconds is None:
        return math.inf
    given: Any = seconds  # a user without a type checker may give anything
    if isinstance(given, int | float) and not isinstance(given, bool):
        with suppress(OverflowError):  # an int beyond all floats
            end = now() + given
            if given >= 0:  # False for NaN
                return end
    where = f"{operation}: " if operation else ""
    raise OptionError(
        f"{where}timeout={shown(seconds)}: a timeout is a number of seconds, 0 or more"
    )

"""How long operations may take: a block's budget, an operation's own time, a client's default."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

from mongospec_core.errors import OptionError, shown

_block: ContextVar[float] = ContextVar("mongospec_deadline", default=math.inf)

now: Callable[[], float] = time.monotonic


@contextmanager
def timeout(seconds: float | None) -> Generator[None]:
    """Give all operations in the block *seconds* together, as ``pymongo.timeout`` does.

    Of nested blocks, of an operation's own ``timeout=`` and of ``init(timeout=)``, the nearest end
    counts. The time is kept on this side of the wire, so it also ends the wait for a server that
    hangs; commands that take it carry ``maxTimeMS`` besides. Tasks that are started in the block
    share its budget.

    :param seconds: the budget; None adds no limit.
    :raises OptionError: it is negative or no number.
    :raises OperationTimeoutError: from the operation that was running when the time was up
        (``outcome`` says of a write ``"unknown"``), and from every later one in the block (nothing
        is sent then: ``"not_applied"``).

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
        # By assignment: a token cannot be given back in another context than its own, and an async
        # generator's last step may run in another.
        _block.set(before)


@contextmanager
def no_timeout() -> Generator[None]:
    """Out of the surrounding blocks' time: for work that cleans up after they ran out of it."""
    before = _block.get()
    _block.set(math.inf)
    try:
        yield
    finally:
        _block.set(before)


block_end: Callable[[], float] = _block.get
"""When the time of the surrounding blocks is up, by :data:`now`; infinity without one."""


def end_of(seconds: float | None) -> float:
    """The moment in so many seconds.

    :raises OptionError: it is negative or no number.
    """
    if seconds is None:
        return math.inf
    try:
        end = now() + seconds
        if seconds >= 0:  # which NaN is not
            return end
    except TypeError:
        pass
    raise OptionError(f"timeout={shown(seconds)}: a timeout is a number of seconds, 0 or more")

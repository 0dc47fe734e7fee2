"""One call of the driver: started and awaited in its time, its error typed."""

import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import mongojet

from mongospec_core.errors import OperationTimeoutError, Outcome
from mongospec_core.server.cancellation import PATIENCE, Cancelled, TimeUp, Waiting
from mongospec_core.server.clients import ClientState
from mongospec_core.server.deadline import now
from mongospec_core.server.outcome import translate

type Start = Callable[[float | None], Coroutine[Any, Any, Any] | Waiting[Any]]
"""Makes the driver's call; it is told the seconds that are left."""


def seconds_left(until: float, operation: str) -> float | None:
    """The time to *until*; None where there is no end.

    :raises OperationTimeoutError: it is up; nothing was sent.
    """
    if until == math.inf:
        return None
    left = until - now()
    if left <= 0:
        raise OperationTimeoutError(
            f"{operation}: the time was up before it was sent", outcome="not_applied"
        )
    return left


async def carry(
    start: Start,
    state: ClientState,
    operation: str,
    *,
    until: float,
    write: bool,
    torn: bool = False,
    document: Mapping[str, Any] | None = None,
    many: bool = False,
) -> Any:
    """Start a call of the driver and wait for its end.

    :param torn: whether a cancellation may end the wait at once: for a read outside of a session.
    :raises OperationTimeoutError: it did not end in its time; it goes on in the driver.
    :raises Cancelled: the caller was cancelled; it has ended, or was waited for long enough.
    """
    left = seconds_left(until, operation)
    running: Awaitable[Any] | None = None
    try:
        running = waiting = start(left)
        state.in_flight.add(running)
        if not isinstance(waiting, Waiting):
            if torn and left is None:
                return await waiting
            waiting = Waiting(waiting, 0 if torn else PATIENCE)
        waiting.seconds = left
        return await waiting
    except (mongojet.PyMongoError, ValueError) as error:
        raise translate(error, operation, document, write=write, many=many) from error
    except TimeUp:
        outcome: Outcome = "unknown" if write else "not_applied"
        raise OperationTimeoutError(
            f"{operation}: no answer within {left:.3g} seconds", outcome=outcome
        ) from None
    except Cancelled as error:
        told = error.__cause__
        if isinstance(told, mongojet.PyMongoError | ValueError):
            error.__cause__ = translate(told, operation, document, write=write, many=many)
            error.__cause__.__cause__ = told
            error.outcome = error.__cause__.outcome
        elif not write:
            error.outcome = "not_applied"
        raise
    finally:
        if running is not None:
            state.in_flight.discard(running)

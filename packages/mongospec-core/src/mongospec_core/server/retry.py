"""Retries of commands that may be sent twice."""

import random
from collections.abc import Awaitable, Callable

import mongojet

from mongospec_core.errors import OperationError, OperationTimeoutError
from mongospec_core.server.driver_call import CancelledCall

_WORTH_REPEATING = frozenset({91, 189, 262, 10107, 11600, 11602, 13435, 13436})
"""Codes of a primary that steps down or shuts down."""


async def retry_once[T](send: Callable[[], Awaitable[T]]) -> T:
    """Call *send*, and once more after an error that may leave the outcome unknown.

    The command must do no harm if it is applied twice, and must not use a session. If both attempts
    fail, the second error is raised; an outcome that the first left unknown stays unknown.
    """
    try:
        return await send()
    except OperationError as error:
        if not _is_worth_repeating(error):
            raise
        first = error.outcome
    try:
        return await send()
    except (OperationError, CancelledCall) as error:
        if error.outcome == "not_applied":
            error.outcome = first
        raise


def _is_worth_repeating(error: OperationError) -> bool:
    if isinstance(error, OperationTimeoutError):
        return False
    if error.code is None:  # a network error; if no server was found, the driver has waited long
        return not isinstance(error.__cause__, mongojet.ServerSelectionError)
    return error.code in _WORTH_REPEATING


def backoff(attempt: int) -> float:
    """Return the seconds to wait before a further attempt: from 5 to 500 ms, with jitter."""
    return random.random() * min(0.005 * 1.5**attempt, 0.5)  # noqa: S311 - jitter

"""Work that a cancellation of its caller does not break off."""

import asyncio
from collections.abc import Coroutine
from typing import Any

_PATIENCE = 5.0
"""Seconds that a cancelled caller waits for the end at most: on a hung server it has to go."""


async def uninterrupted[T](work: Coroutine[Any, Any, T]) -> T:
    """The result of *work*; where the caller is cancelled meanwhile, it leaves once that is done.

    :raises asyncio.CancelledError: the caller was cancelled; the work was done, or is still going
        on after the patience is over.
    """
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError as cancelled:
        if task.done() and task.cancelled():
            raise
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE
        while not task.done() and (left := until - loop.time()) > 0:
            try:
                await asyncio.wait([task], timeout=left)
            except asyncio.CancelledError:
                continue  # asked again to go: the answer is the same
        raise cancelled from task.exception() if task.done() else None

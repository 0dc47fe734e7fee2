"""The blocks in which operations are one transaction, and the repetition of a whole one."""

import asyncio
import inspect
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, Unpack

import mongojet

from mongospec_core.errors import OperationError, OptionError, TransactionError, shown
from mongospec_core.server.retry import backoff
from mongospec_core.server.timeout import end_of, now
from mongospec_core.server.transaction import TRANSIENT, Transaction, TransactionOptions

_current: ContextVar[Transaction | None] = ContextVar("mongospec_transaction", default=None)

current: Callable[[], Transaction | None] = _current.get
"""The current transaction, or None."""


@contextmanager
def _ambient(transaction: Transaction | None) -> Generator[None]:
    before = _current.get()
    _current.set(transaction)
    try:
        yield
    finally:
        # By assignment: the last step of an async generator may run in another context.
        _current.set(before)


@asynccontextmanager
async def transaction(
    client: mongojet.Client | None = None, **options: Unpack[TransactionOptions]
) -> AsyncGenerator[Transaction]:
    """Commit all operations in the block together at its end, or none of them.

    They find the transaction by themselves, those of references and of the key-value store
    included, and run one at a time: tasks of ``gather`` or ``TaskGroup`` queue. The transaction
    starts with its first operation. At the end of the block it is closed, the running operation is
    awaited, then it commits, within the shortest timeout of its operations (by ``timeout=`` or
    ``init(timeout=)``). It aborts if an exception or a cancellation leaves the block, and if an
    operation failed on the server, even if the block caught that error: further operations and the
    end of the block then raise :class:`TransactionError` with it as ``__cause__``. After an abort
    the documents have the ``_id`` and the snapshot that they had before.

    A block inside another one joins it. Refused before anything is sent: operations of another
    client, ``session=``, concern and read-preference options, ``estimated_document_count``,
    ``explain``, ``init``, and cursors that are opened and read on different sides of the block.
    :func:`outside_transaction` steps out. Needs a replica set.

    :param client: the mongojet client; default: that of the first operation.
    :param read_concern: as for the driver: ``{"level": "snapshot"}``.
    :param write_concern: of the commit: ``{"w": "majority"}``.
    :param max_commit_time_ms: the server's time limit for the commit.
    :raises TransactionError: at the end, after an error that the block caught; nothing is stored.
    :raises TransactionClosedError: from an operation of a task that outlives the block.
    :raises OperationError: the commit failed. With ``outcome`` "unknown" it may be stored: documents
        keep their ``_id``, and the next ``save()`` sends all their fields.

    .. code-block:: python

        async with transaction():
            await order.insert()
            await Stock.update_one({"sku": order.sku}, {"$inc": {"left": -1}})
    """
    joined = _current.get()
    if joined is not None:
        _refuse_other(joined, client, options)
        try:
            yield joined
        except BaseException as error:
            joined._doom(error)
            raise
        return
    own = Transaction(client, options)
    async with _run_block(own):
        yield own


def _refuse_other(
    joined: Transaction, client: mongojet.Client | None, options: TransactionOptions
) -> None:
    if options:
        raise TransactionError("a transaction inside another one joins it and takes no options")
    if client is not None and joined.client not in (None, client):
        raise TransactionError(
            "a transaction inside another one joins it, but this one names another client; "
            "step out by outside_transaction()"
        )


@asynccontextmanager
async def _run_block(own: Transaction, deadline: float | None = None) -> AsyncGenerator[None]:
    try:
        with _ambient(own):
            yield
    except GeneratorExit:
        own._discard()
        raise
    except BaseException as error:
        await own._abort()
        own._note_abort(error)
        raise
    await own._commit(deadline)


@contextmanager
def outside_transaction() -> Generator[None]:
    """Run the operations in the block outside of the surrounding transaction.

    What they write is stored at once, and stays if the transaction aborts.

    .. code-block:: python

        async with transaction():
            await order.insert()
            with outside_transaction():
                await LogEntry(text="trying").insert()
    """
    with _ambient(None):
        yield


def refuse_in_transaction(what: str) -> None:
    """Refuse what cannot be done in a transaction.

    :raises TransactionError: this is in a transaction.
    """
    if _current.get() is not None:
        raise TransactionError(f"{what} cannot be called in a transaction() block")


async def run_in_transaction[T](
    fn: Callable[[], Awaitable[T]],
    *,
    client: mongojet.Client | None = None,
    timeout: float = 120,
    **options: Unpack[TransactionOptions],
) -> T:
    """Call *fn* in a :func:`transaction`, and retry after transient errors.

    After an error that the server calls transient (a write conflict, a new primary) everything is
    rolled back and *fn* is called again; after a commit whose result is unknown only the commit is
    repeated. Pauses grow from 5 to 500 ms, with jitter. Inside another transaction, *fn* is called
    once and its operations join that one.

    :param fn: takes no arguments; its side effects may happen several times.
    :param client: as for :func:`transaction`, like the options.
    :param timeout: seconds after which nothing is retried: the last error is raised. A commit
        without a reply ends then too, but not before one second.
    :returns: what *fn* returned.

    .. code-block:: python

        async def transfer() -> None:
            await Account.update_one({"_id": 1}, {"$inc": {"balance": -10}})
            await Account.update_one({"_id": 2}, {"$inc": {"balance": 10}})


        await run_in_transaction(transfer)
    """
    given: Any = fn  # a user without a type checker may give anything
    if not callable(given):
        raise OptionError(f"run_in_transaction(): {shown(given)} is not a function")
    end = end_of(timeout, "run_in_transaction()")
    if _current.get() is not None:
        async with transaction(client, **options):
            return await _started(fn)
    for attempt in itertools.count():
        own = Transaction(client, options)
        try:
            async with _run_block(own, end):
                return await _started(fn)
        except Exception as error:
            pause = backoff(attempt)
            if not _is_transient(own.first_error or error) or now() + pause > end:
                raise
        await asyncio.sleep(pause)
    raise AssertionError("unreachable")


def _started[T](fn: Callable[[], Awaitable[T]]) -> Awaitable[T]:
    running = fn()
    if not inspect.isawaitable(running):
        raise OptionError(f"run_in_transaction(): {shown(fn)} is not an async function")
    return running


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, OperationError) and TRANSIENT in error.labels

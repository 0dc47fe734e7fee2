"""transaction(): every operation in the block takes part, all of them are stored or none."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Unpack

import mongojet

from mongospec_core.errors import OperationError, TransactionError
from mongospec_core.server.deadline import now
from mongospec_core.server.repeating import pause_before
from mongospec_core.server.transaction import Transaction, TransactionOptions

_TRANSIENT = "TransientTransactionError"

_current: ContextVar[Transaction | None] = ContextVar("mongospec_transaction", default=None)

current: Callable[[], Transaction | None] = _current.get
"""The transaction that operations take part in here, or None."""


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
    """All operations in the block are stored together at its end, or none of them.

    They find the transaction by themselves, those of references and of the key-value store
    included, and run one at a time: tasks of ``gather`` or ``TaskGroup`` queue. The transaction
    starts with its first operation; at the end of the block it is closed, what is running is
    awaited, then it commits, in the shortest time that an operation of it was given (by ``timeout=`` or
    ``init(timeout=)``). It aborts when an exception or a cancellation leaves the block, and
    when an operation failed on the server, even if the block caught that error: further operations
    and the end of the block then raise :class:`TransactionError` with it as ``__cause__``. After an
    abort the documents have the ``_id`` and the stored form that they had before.

    A block inside another one joins it. Refused before anything is sent: operations of another
    client, ``session=``, concern and read-preference options, ``estimated_document_count``,
    ``explain``, ``init``, and cursors that cross the border of the block. :func:`outside_transaction`
    steps out. Needs a replica set.

    :param client: the mongojet client; default: that of the first operation.
    :param read_concern: as the driver takes it: ``{"level": "snapshot"}``.
    :param write_concern: of the commit: ``{"w": "majority"}``.
    :param max_commit_time_ms: the server's time limit for the commit.
    :raises TransactionError: at the end: a caught error had doomed it; nothing is stored.
    :raises TransactionClosedError: from an operation of a task that outlives the block.
    :raises OperationError: the commit failed. With ``outcome`` "unknown" it may be stored: documents
        keep their ``_id``, and the next ``save()`` sends all their fields.

    .. code-block:: python

        async with transaction():
            await order.insert()
            await Stock.update_one({"sku": order.sku}, {"$inc": {"count": -1}})
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
    async with _entered(own):
        yield own


def _refuse_other(
    joined: Transaction, client: mongojet.Client | None, options: TransactionOptions
) -> None:
    if options:
        raise TransactionError("a transaction inside of another one joins it: give it no options")
    if client is not None and joined.client not in (None, client):
        raise TransactionError(
            "a transaction inside of another one joins it, and this names another client; "
            "step out by outside_transaction()"
        )


@asynccontextmanager
async def _entered(own: Transaction, until: float | None = None) -> AsyncGenerator[None]:
    try:
        with _ambient(own):
            yield
    except GeneratorExit:
        own._drop()
        raise
    except BaseException:
        await own._abort()
        raise
    await own._commit(until)


@contextmanager
def outside_transaction() -> Generator[None]:
    """Operations in the block take no part in the surrounding transaction.

    What they write is stored at once, and stays when the transaction aborts.

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

    :raises TransactionError: there is one here.
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
    """Call *fn* in a :func:`transaction`, again and again while the server asks for it.

    After an error that the server calls transient (a write conflict, a new primary) all is undone
    and *fn* is called anew; after a commit whose result is unknown the commit alone is repeated.
    Pauses grow from 5 to 500 ms, with jitter. Inside of another transaction, *fn* is called once
    and its operations join that one.

    :param fn: takes nothing; what it does besides operations may be done several times.
    :param client: as for :func:`transaction`, like the options.
    :param timeout: seconds after which nothing is repeated any more: the last error is raised. A
        commit without an answer ends then too, or after the second that it gets at least.
    :returns: what *fn* returned.

    .. code-block:: python

        async def transfer() -> None:
            await Account.update_one({"_id": 1}, {"$inc": {"balance": -10}})
            await Account.update_one({"_id": 2}, {"$inc": {"balance": 10}})


        await run_in_transaction(transfer)
    """
    end = now() + timeout
    if _current.get() is not None:
        async with transaction(client, **options):
            return await fn()
    for attempt in itertools.count():
        own = Transaction(client, options)
        try:
            async with _entered(own, end):
                return await fn()
        except Exception as error:
            pause = pause_before(attempt)
            if not _is_transient(own.first_error or error) or now() + pause > end:
                raise
        await asyncio.sleep(pause)
    raise AssertionError("unreachable")


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, OperationError) and _TRANSIENT in error.labels

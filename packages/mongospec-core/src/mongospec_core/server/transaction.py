"""One transaction: who takes part, in which order, and how it ends.

From top to bottom: what cannot take part, the :class:`Transaction` itself, and the blocks that users
write. What has no underscore is for users; :class:`~mongospec_core.server.operation.Operation` calls
the rest for each operation, and the blocks call it at their end.
"""

import asyncio
import itertools
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from typing import Any, Protocol, TypedDict, Unpack

import mongojet

from mongospec_core.errors import (
    MongospecError,
    OperationError,
    OperationTimeoutError,
    OptionError,
    Outcome,
    TransactionClosedError,
    TransactionError,
)
from mongospec_core.server.client import Target, state_of
from mongospec_core.server.driver import ClientSession, release
from mongospec_core.server.driver_call import (
    CANCEL_GRACE_SECONDS,
    CancelledCall,
    UninterruptedCall,
    carry,
    seconds_left,
)
from mongospec_core.server.instrument import is_observed, observed
from mongospec_core.server.place import alike, here
from mongospec_core.server.retry import backoff
from mongospec_core.server.timeout import block_end, end_of, now

# -- what cannot take part

_CONCERNS = frozenset({"read_concern", "write_concern", "read_preference"})
_REFUSED = frozenset({"estimated_document_count", "count", "explain", "listIndexes"})


class Participant(Protocol):
    """What a transaction wants to know of an operation that takes part."""

    @property
    def operation(self) -> str: ...
    @property
    def target(self) -> Target: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def session(self) -> ClientSession | None: ...


def refuse_restricted(call: Participant, verb: str, client: mongojet.Client | None) -> None:
    """Refuse what cannot take part in a transaction of *client*.

    :raises TransactionError: it is such an operation.
    """
    name = call.operation
    if call.session is not None:
        raise TransactionError(
            f"{name}: session= names another session than the transaction's; leave it out, or "
            f"step out by outside_transaction()"
        )
    if verb in _REFUSED:
        raise TransactionError(
            f"{name}: MongoDB has no {verb} in transactions; step out by outside_transaction()"
        )
    if concerns := _CONCERNS & call.options.keys():
        raise TransactionError(
            f"{name}: {', '.join(sorted(concerns))} is the whole transaction's affair: "
            f"transaction(read_concern=..., write_concern=...); it reads from the primary"
        )
    if client is not None and call.target.client is not client:
        raise TransactionError(
            f"{name}: {call.target.owner} is bound to another client than the transaction's; "
            f"a transaction is of one client: name it in transaction(client)"
        )


_UNKNOWN_COMMIT = "UnknownTransactionCommitResult"
_TIME_UP = 50  # the commit's own max_commit_time_ms


# -- the transaction


class TransactionOptions(TypedDict, total=False):
    """What a transaction may be told; it always reads from the primary."""

    read_concern: mongojet.ReadConcern
    write_concern: mongojet.WriteConcern
    max_commit_time_ms: int


class Transaction:
    """A transaction that is open; :func:`transaction` gives it.

    It is the ambient one: operations find it by themselves, there is nothing to pass on.
    """

    def __init__(self, client: mongojet.Client | None, options: TransactionOptions) -> None:
        if unknown := options.keys() - TransactionOptions.__annotations__.keys():
            raise OptionError(
                f"transaction() does not take {', '.join(sorted(unknown))}=; it takes "
                f"{', '.join(sorted(TransactionOptions.__annotations__))}"
            )
        self._client = client
        self._place = here()
        self._options = options
        self._session: ClientSession | None = None
        self._turn = asyncio.Lock()  # operations queue here, in the order in which they came
        self._open = True
        self._seconds = math.inf  # the shortest init(timeout=) of the classes that took part
        self._first_error: BaseException | None = None
        self._cancelled: CancelledCall | None = None
        self._settlements: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self._fate: Outcome | None = None

    @property
    def client(self) -> mongojet.Client | None:
        """The client that it is of; None before the first operation, where none was named."""
        return self._client

    @property
    def first_error(self) -> BaseException | None:
        """The error that doomed it: it will be aborted, and further operations are refused."""
        return self._first_error

    def _doom(self, error: BaseException) -> None:
        """Let it end in an abort, because of *error*; the first one counts."""
        if self._first_error is None:
            self._first_error = error

    def _on_abort(self, undo: Callable[[], None], unsure: Callable[[], None]) -> None:
        """Register what is to be done should the transaction not be committed.

        :param undo: called when it was aborted; of several, the last registered first.
        :param unsure: called instead when nobody knows whether it was committed.
        """
        if self._fate is None:
            self._settlements.append((undo, unsure))
        else:
            _settle(self._fate, undo, unsure)  # the operation ended after its transaction

    # -- operations

    async def _run[T](
        self,
        call: Participant,
        verb: str,
        until: float,
        send: Callable[[ClientSession], Awaitable[T]],
    ) -> T:
        """Send an operation when its turn has come.

        :raises TransactionError: it cannot take part; nothing was sent.
        """
        self._refuse(call, verb)
        await self._take_turn(call.operation, until)
        try:
            self._refuse(call, verb)  # what was before it in the queue may have changed all
            seconds_left(until, call.operation)  # here, where it does not doom: nothing was sent
            session = self._session or await self._start(call)
            # Not the operation's own timeout=: a quick look must not hurry the commit.
            if call.target.timeout is not None:
                self._seconds = min(self._seconds, call.target.timeout)
            try:
                return await send(session)
            except OperationError as error:
                self._doom(error)
                raise
            except CancelledCall as error:
                self._cancelled = error
                if not error.ended or error.__cause__ is not None:
                    self._doom(error.__cause__ or error)
                raise
        finally:
            self._turn.release()

    async def _take_turn(self, operation: str, until: float) -> None:
        try:
            async with asyncio.timeout(None if until == math.inf else max(0, until - now())):
                await self._turn.acquire()
        except TimeoutError as error:
            raise OperationTimeoutError(
                f"{operation}: no time left, waiting for other operations of the transaction",
                outcome="not_applied",
            ) from error
        except asyncio.CancelledError as error:
            cancelled = CancelledCall(*error.args)
            cancelled.outcome, cancelled.ended = "not_applied", True
            raise cancelled from None

    def _refuse(self, call: Participant, verb: str) -> None:
        name = call.operation
        if not self._open:
            raise self._closed(name)
        if self._first_error is not None:
            raise TransactionError(
                f"{name}: the transaction will be aborted because of an earlier error, nothing was "
                f"sent: {self._first_error}"
            ) from self._first_error
        refuse_restricted(call, verb, self._client)
        if not alike(self._place, here()):
            raise TransactionError(
                f"{name}: the transaction was begun for another database than that of this using() "
                f"block; end it in the block in which it was begun"
            )

    def _closed(self, operation: str) -> TransactionClosedError:
        return TransactionClosedError(
            f"{operation}: its transaction has ended, nothing was sent; await the tasks that you "
            f"start in a transaction() block before its end, or let a task that outlives it work "
            f"in `with outside_transaction():`"
        )

    async def _start(self, call: Participant) -> ClientSession:
        client = call.target.client
        options: Any = {"read_preference": {"mode": "primary"}, **self._options}
        session: ClientSession | None = None
        try:
            session = await UninterruptedCall(client.start_session())
            await UninterruptedCall(session.start_transaction(**options))
        except CancelledCall as error:  # of this call: the operation itself was not sent
            started = session or error.reply
            if isinstance(started, ClientSession):
                release(started)
            cancelled = CancelledCall(*error.args)
            cancelled.outcome, cancelled.ended = "not_applied", True
            raise cancelled from None
        if not self._open:  # it was aborted meanwhile
            release(session)
            raise self._closed(call.operation)
        self._client, self._session = client, session
        return session

    # -- its end

    async def _commit(self, until: float | None = None) -> None:
        """Close it, wait for the operation that is running, commit; abort where it is doomed.

        :param until: how long to send the commit again where its result is unknown; None: once.
        :raises TransactionError: it was doomed; nothing is stored.
        :raises OperationError: the commit failed; ``outcome`` tells.
        """
        self._open = False
        try:
            await self._turn.acquire()
        except BaseException:
            await self._abort()
            raise
        if self._first_error is not None:
            await self._abort()
            raise TransactionError(
                f"the transaction was aborted, nothing of it is stored: {self._first_error}"
            ) from self._first_error
        try:
            if self._session is not None:
                await self._send_commit(self._session, until)
            self._settle("applied")
        finally:
            self._release()

    async def _send_commit(self, session: ClientSession, until: float | None) -> None:
        end = min(block_end(), end_of(self._seconds))
        if until is not None:  # what was done in more than its time is committed all the same
            end = min(end, max(until, now() + CANCEL_GRACE_SECONDS))
        for attempt in itertools.count():
            pause = backoff(attempt)
            try:
                await self._send("commitTransaction", session.commit_transaction, end)
            except OperationError as error:
                again = _UNKNOWN_COMMIT in error.labels and error.code != _TIME_UP
                if again and until is not None and now() + pause < min(until, end):
                    await self._rest(pause)
                    continue
                if attempt and error.code is None:  # it tells nothing of the attempts before
                    error.outcome = "unknown"
                await self._not_committed(error.outcome)
                raise
            except CancelledCall as error:
                await self._not_committed(error.outcome)
                raise
            return

    async def _not_committed(self, outcome: Outcome) -> None:
        if outcome == "not_applied":
            await self._abort()
        else:
            self._settle(outcome)

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self._settle("unknown")
            raise

    async def _abort(self) -> None:
        """Close it, give the documents back what they were, abort. Raises a cancellation only."""
        self._open = False
        self._settle("not_applied")
        if self._session is None:
            return
        abort = self._session.abort_transaction
        try:
            # An operation that still runs keeps the session, and the driver aborts after it. What
            # does not arrive is made up for by the server: it drops what is not committed.
            with suppress(MongospecError):
                await self._send("abortTransaction", abort, now() + CANCEL_GRACE_SECONDS)
        finally:
            self._release()

    def _note_abort(self, error: BaseException | None) -> None:
        """Let an error of an operation, and what was made of it, say that nothing was carried out."""
        ended = self._first_error, self._cancelled
        made: list[BaseException] = []
        while error is not None:
            made.append(error)
            if error in ended:
                for each in made:
                    if isinstance(each, MongospecError | CancelledCall):
                        each.outcome = "not_applied"
                return
            error = error.__cause__

    def _drop(self) -> None:
        """Close it without a word to the server: where nothing can be awaited any more."""
        self._open = False
        self._settle("not_applied")
        self._release()

    def _settle(self, fate: Outcome) -> None:
        self._fate = fate
        settlements, self._settlements = self._settlements, []
        for undo, unsure in reversed(settlements):
            _settle(fate, undo, unsure)

    def _release(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            release(session)

    async def _send(
        self, command: str, call: Callable[[], Coroutine[Any, Any, None]], until: float
    ) -> None:
        assert self._client is not None
        seen = observed("admin", None, command, "transaction") if is_observed() else nullcontext()
        with seen:
            left = seconds_left(until, command)
            await carry(call, (), state_of(self._client), command, command, write=True, left=left)


def _settle(fate: Outcome | None, undo: Callable[[], None], unsure: Callable[[], None]) -> None:
    if fate == "not_applied":
        undo()
    elif fate == "unknown":
        unsure()


# -- the blocks

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
    except BaseException as error:
        await own._abort()
        own._note_abort(error)
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
            pause = backoff(attempt)
            if not _is_transient(own.first_error or error) or now() + pause > end:
                raise
        await asyncio.sleep(pause)
    raise AssertionError("unreachable")


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, OperationError) and _TRANSIENT in error.labels

"""A transaction: which operations take part, in which order, and how it ends.

Names without underscore are for users; the others are called by
:class:`~mongospec_core.server.operation.Operation` for each operation, and by the blocks of
:mod:`~mongospec_core.server.transaction_blocks` at their end.
"""

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import nullcontext, suppress
from typing import Any, Protocol, TypedDict

import mongojet

from mongospec_core.codec.codec_options import decode, encode, named
from mongospec_core.errors import (
    BulkInsertError,
    BulkWriteError,
    MongospecError,
    OperationError,
    OperationTimeoutError,
    OptionError,
    Outcome,
    TransactionClosedError,
    TransactionError,
    shown,
)
from mongospec_core.server.client import Target, state_of
from mongospec_core.server.driver import ClientSession, release
from mongospec_core.server.driver_call import (
    CANCEL_GRACE_SECONDS,
    CancelledCall,
    UninterruptedCall,
    execute,
    seconds_left,
)
from mongospec_core.server.driver_errors import to_operation_error
from mongospec_core.server.instrument import is_observed, observed
from mongospec_core.server.place import alike, here
from mongospec_core.server.retry import backoff
from mongospec_core.server.timeout import block_end, end_of, now

_ROLLED_BACK = "the transaction was aborted, nothing of it is stored"
TRANSIENT = "TransientTransactionError"  # nothing of the transaction is committed
_UNKNOWN_COMMIT = "UnknownTransactionCommitResult"
_TIME_UP = 50  # the commit's own max_commit_time_ms
_CONCERNS = frozenset({"read_concern", "write_concern", "read_preference"})
_REFUSED = frozenset({"estimated_document_count", "count", "explain", "listIndexes"})


class Participant(Protocol):
    """What a transaction reads of an operation that takes part."""

    @property
    def operation(self) -> str: ...
    @property
    def target(self) -> Target: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def session(self) -> ClientSession | None: ...


class TransactionOptions(TypedDict, total=False):
    """The options of a transaction, which always reads from the primary."""

    read_concern: mongojet.ReadConcern
    write_concern: mongojet.WriteConcern
    max_commit_time_ms: int


class Transaction:
    """An open transaction, as returned by :func:`transaction`.

    Operations in the block find it by themselves; it need not be passed to them.
    """

    def __init__(self, client: mongojet.Client | None, options: TransactionOptions) -> None:
        if unknown := options.keys() - TransactionOptions.__annotations__.keys():
            raise OptionError(
                f"transaction() does not take {', '.join(sorted(unknown))}=; it takes "
                f"{', '.join(sorted(TransactionOptions.__annotations__))}"
            )
        given: Any = client  # a user without a type checker may give anything
        if not isinstance(given, mongojet.Client | None):
            raise OptionError(f"transaction(): client={shown(given)} is not a mongojet client")
        for name, value in options.items():
            expected, word = (
                (int, "a number") if name == "max_commit_time_ms" else (Mapping, "a dict")
            )
            if value is not None and (type(value) is bool or not isinstance(value, expected)):
                raise OptionError(f"transaction(): {name}={shown(value)} is not {word}")
        self._client = client
        self._place = here()
        # As plain values, which the driver can encode.
        self._options: Any = decode(named("transaction()", "its options", encode, options))
        self._session: ClientSession | None = None
        self._turn = asyncio.Lock()  # operations queue here, in their order of arrival
        self._open = True
        self._seconds = math.inf  # the shortest init(timeout=) of the classes that took part
        self._first_error: BaseException | None = None
        self._cancelled: CancelledCall | None = None
        self._undos: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self._outcome: Outcome | None = None

    @property
    def client(self) -> mongojet.Client | None:
        """Its client; None before the first operation, if none was named."""
        return self._client

    @property
    def first_error(self) -> BaseException | None:
        """The error after which it can only be aborted; further operations are refused."""
        return self._first_error

    def _doom(self, error: BaseException) -> None:
        """Mark it to be aborted because of *error*; the first error counts."""
        if self._first_error is None:
            self._first_error = error

    def _on_abort(self, undo: Callable[[], None], if_unknown: Callable[[], None]) -> None:
        """Register what to do if the transaction is not committed.

        :param undo: called after an abort; if there are several, in reverse order.
        :param if_unknown: called instead if the outcome of the commit is unknown.
        """
        if self._outcome is None:
            self._undos.append((undo, if_unknown))
        else:
            _settle(self._outcome, undo, if_unknown)  # the operation ended after its transaction

    # -- operations

    async def _run[T](
        self,
        call: Participant,
        verb: str,
        deadline: float,
        send: Callable[[ClientSession], Awaitable[T]],
    ) -> T:
        """Send an operation when its turn comes.

        :raises TransactionError: it cannot take part; nothing was sent.
        """
        self._refuse(call, verb)
        await self._take_turn(call.operation, deadline)
        try:
            self._refuse(call, verb)  # operations before it in the queue may have changed the state
            # Outside of the try below: nothing was sent, so it does not end the transaction.
            seconds_left(deadline, call.operation)
            session = self._session or await self._start(call)
            # Not the operation's own timeout=: a short one must not shorten the commit.
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

    async def _take_turn(self, operation: str, deadline: float) -> None:
        try:
            async with asyncio.timeout(None if deadline == math.inf else max(0, deadline - now())):
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
        """Refuse an operation that cannot take part in this transaction.

        :raises TransactionError: nothing was sent.
        """
        name = call.operation
        if not self._open:
            raise self._closed(name)
        if self._first_error is not None:
            raise TransactionError(
                f"{name}: the transaction will be aborted because of an earlier error, nothing was "
                f"sent: {self._first_error}"
            ) from self._first_error
        if call.session is not None:
            raise TransactionError(
                f"{name}: session= is not the transaction's session; leave it out, or "
                f"step out by outside_transaction()"
            )
        if verb in _REFUSED:
            raise TransactionError(
                f"{name}: MongoDB does not support {verb} in transactions; step out by outside_transaction()"
            )
        if concerns := _CONCERNS & call.options.keys():
            raise TransactionError(
                f"{name}: {', '.join(sorted(concerns))} must be passed to "
                f"transaction(read_concern=..., write_concern=...); it reads from the primary"
            )
        if self._client is not None and call.target.client is not self._client:
            raise TransactionError(
                f"{name}: {call.target.owner} is bound to another client than the transaction's; "
                f"a transaction has one client: name it in transaction(client)"
            )
        if not alike(self._place, here()):
            raise TransactionError(
                f"{name}: the transaction was started for another database than that of this using() "
                f"block; end it in the block in which it was started"
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
        except (mongojet.PyMongoError, ValueError) as error:
            raise to_operation_error(error, call.operation, write=False) from error
        if not self._open:  # it was aborted meanwhile
            release(session)
            raise self._closed(call.operation)
        self._client, self._session = client, session
        return session

    # -- its end

    async def _commit(self, deadline: float | None = None) -> None:
        """Close it, wait for the running operation, then commit; abort after an earlier error.

        :param deadline: until when to repeat a commit whose result is unknown; None: send it once.
        :raises TransactionError: an earlier error aborted it; nothing is stored.
        :raises OperationError: the commit failed; see its ``outcome``.
        """
        self._open = False
        try:
            await self._turn.acquire()
        except BaseException:
            await self._abort()
            raise
        if self._first_error is not None:
            await self._abort()
            raise TransactionError(f"{_ROLLED_BACK}: {self._first_error}") from self._first_error
        try:
            if self._session is not None:
                await self._send_commit(self._session, deadline)
            self._settle("applied")
        finally:
            self._release()

    async def _send_commit(self, session: ClientSession, deadline: float | None) -> None:
        end = min(block_end(), end_of(self._seconds))
        if deadline is not None:  # operations that took longer are committed all the same
            end = min(end, max(deadline, now() + CANCEL_GRACE_SECONDS))
        for attempt in itertools.count():
            pause = backoff(attempt)
            try:
                await self._send("commitTransaction", session.commit_transaction, end)
            except OperationError as error:
                transient = TRANSIENT in error.labels
                again = not transient and _UNKNOWN_COMMIT in error.labels and error.code != _TIME_UP
                if again and deadline is not None and now() + pause < min(deadline, end):
                    await self._pause(pause)
                    continue
                if transient:  # of earlier attempts nothing is committed either
                    error.outcome = "not_applied"
                elif attempt and error.code is None:  # it says nothing about earlier attempts
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

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self._settle("unknown")
            raise

    async def _abort(self) -> None:
        """Close it, restore the documents' state, and abort. Raises only a cancellation."""
        self._open = False
        self._settle("not_applied")
        if self._session is None:
            return
        abort = self._session.abort_transaction
        try:
            # A running operation keeps the session, and the driver aborts after it. If the abort
            # does not arrive, the server drops what is not committed.
            with suppress(MongospecError):
                await self._send("abortTransaction", abort, now() + CANCEL_GRACE_SECONDS)
        finally:
            self._release()

    def _note_abort(self, error: BaseException | None) -> None:
        """Set the outcome of an operation's error, and of what was made of it, to "not_applied"."""
        first = self._first_error
        ended = [each for each in (first, first and first.__cause__, self._cancelled) if each]
        made: list[BaseException] = []
        while error is not None:
            made.append(error)
            if error in ended:
                for each in made:
                    if isinstance(each, MongospecError | CancelledCall):
                        each.outcome = "not_applied"
                    if isinstance(each, BulkInsertError):
                        each.inserted, each.unknown = [], []
                    if isinstance(each, BulkInsertError | BulkWriteError):  # made before the abort
                        each.args = (f"{each.args[0]}; {_ROLLED_BACK}",)
                return
            error = error.__cause__

    def _discard(self) -> None:
        """Close it without abortTransaction, when nothing can be awaited any more."""
        self._open = False
        self._settle("not_applied")
        self._release()

    def _settle(self, outcome: Outcome) -> None:
        self._outcome = outcome
        undos, self._undos = self._undos, []
        for undo, if_unknown in reversed(undos):
            _settle(outcome, undo, if_unknown)

    def _release(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            release(session)

    async def _send(
        self, command: str, call: Callable[[], Coroutine[Any, Any, None]], deadline: float
    ) -> None:
        assert self._client is not None
        seen = observed("admin", None, command, "transaction") if is_observed() else nullcontext()
        with seen:
            remaining = seconds_left(deadline, command)
            await execute(
                call, (), state_of(self._client), command, command, write=True, remaining=remaining
            )


def _settle(
    outcome: Outcome | None, undo: Callable[[], None], if_unknown: Callable[[], None]
) -> None:
    if outcome == "not_applied":
        undo()
    elif outcome == "unknown":
        if_unknown()

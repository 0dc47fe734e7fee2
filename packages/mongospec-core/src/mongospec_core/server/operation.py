"""One operation: where it goes, in which session and transaction, in how much time."""

import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, NamedTuple, Self

from mongospec_core.codec.codec_options import decode, encode
from mongospec_core.errors import (
    Outcome,
    ServerUnavailableError,
    TransactionError,
)
from mongospec_core.server import driver
from mongospec_core.server.client import Target
from mongospec_core.server.driver import milliseconds, write_fields
from mongospec_core.server.driver_call import CancelledCall, Start, carry
from mongospec_core.server.driver_cursor import DriverCursor, all_in_one
from mongospec_core.server.driver_errors import reply_error
from mongospec_core.server.instrument import is_observed, observed
from mongospec_core.server.retry import retry_once
from mongospec_core.server.timeout import block_end, end_of, now
from mongospec_core.server.transaction import Transaction, current

type BatchCursor = DriverCursor
"""What :meth:`Operation.send` returns for ``find`` and ``aggregate``, for :meth:`Operation.fetch`."""

_CURSORS = frozenset({"find", "aggregate"})
_MANY = frozenset({"update_many", "delete_many"})
_TIMED = frozenset(verb for verb, known in driver.OPTIONS.items() if "max_time_ms" in known)


def outcome_of(error: BaseException) -> Outcome:
    """Return the outcome recorded on *error*, else "unknown"."""
    outcome: Outcome = getattr(error, "outcome", "unknown")
    return outcome


class _Sending(NamedTuple):
    """One command on its way: its name, and how it is started in a session."""

    command: str
    start: Callable[[driver.ClientSession | None], Start]
    document: Mapping[str, Any] | None = None
    size: int | None = None
    torn: bool = False


class Operation:
    """One operation of one caller: where it goes, in which session, in how much time.

    It may send several commands; they share the session and the time. It belongs to the transaction
    in which it was made, and can only be sent there.
    """

    __slots__ = (
        "_end",
        "operation",
        "options",
        "session",
        "target",
        "timeout",
        "transaction",
        "write",
    )

    def __init__(
        self,
        target: Target,
        operation: str,
        options: Mapping[str, Any],
        *,
        write: bool,
        session: driver.ClientSession | None = None,
        timeout: float | None = None,
    ) -> None:
        self.target: Target = target
        self.operation: str = operation
        self.options: Mapping[str, Any] = options
        self.write: bool = write
        self.session: driver.ClientSession | None = session
        self.timeout: float | None = timeout
        self.transaction: Transaction | None = current()
        self._end: float | None = None

    def on(
        self, target: Target, operation: str, options: Mapping[str, Any], *, write: bool
    ) -> Self:
        """A further call of the same operation: same session, same transaction, same time."""
        call = type(self)(
            target, operation, options, write=write, session=self.session, timeout=self.timeout
        )
        call.transaction = self.transaction
        call._end = self._end
        return call

    def sibling(self, verb: str, **options: Any) -> Self:
        """A further read of the same operation on the same collection, by the driver's *verb*."""
        assert options.keys() <= driver.OPTIONS[verb]
        return self.on(self.target, self.operation, options, write=False)

    def unlimited(self) -> Self:
        """The same call without a time of its own; blocks ``with timeout()`` still count."""
        call = self.on(self.target, self.operation, self.options, write=self.write)
        call.timeout, call._end = math.inf, None
        return call

    @property
    def seconds(self) -> float:
        """The time that it was given: its own, else its class's; infinity without one."""
        given = self.target.timeout if self.timeout is None else self.timeout
        return math.inf if given is None else given

    @property
    def certain(self) -> bool:
        """Whether an acknowledged write is there for good, or we learn it when it is not.

        In a session that the caller opened, a transaction may end without our knowing.
        """
        return self.session is None

    @property
    def is_alone(self) -> bool:
        """Whether it is in no transaction and in no session, so that an error ends nothing else."""
        return self.transaction is None and self.session is None

    def on_abort(
        self, undo: Callable[[], None], *, unsure: Callable[[], None] | None = None
    ) -> None:
        """Call *undo* should the transaction that this call belongs to be aborted.

        :param unsure: called instead when nobody knows whether it was committed.
        """
        if self.transaction is not None:
            self.transaction._on_abort(undo, unsure or _nothing)

    def _until(self) -> float:
        if self._end is None:
            self._end = end_of(self.seconds)
        return min(self._end, block_end())

    # -- commands

    async def send(
        self, verb: str, *arguments: Any, document: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one of the driver's verbs on the collection; BSON in, BSON out.

        :param document: the raw document that is written, for a duplicate key's values.
        :returns: the driver's reply; of ``find`` and ``aggregate``, what :meth:`fetch` takes.
        """
        if verb == "find_many" and is_observed():
            # Batch by batch, so that observers see every command.
            cursor = await self.send("find", *arguments)
            return await all_in_one(lambda: self._fetch(cursor))

        def start(session: driver.ClientSession | None) -> Start:
            method = driver.method(self.target.collection, verb, session)
            return lambda left: method(*arguments, self._encoded_options(verb, left))

        size = len(arguments[0]) if verb == "insert_many" else None
        reply = await self._carry(_Sending(verb, start, document, size, torn=True))
        return self._batches(reply) if verb in _CURSORS else reply

    async def reply(self, verb: str, *arguments: Any) -> dict[str, Any]:
        """Like :meth:`send`, for verbs that answer with a small document."""
        try:
            return decode(await self.send(verb, *arguments))
        except CancelledCall as error:
            if error.outcome == "applied" and error.reply is not None:
                error.reply = decode(error.reply)
                if not _did_something(error.reply):
                    error.outcome = "not_applied"
            raise

    async def fetch(self, cursor: BatchCursor) -> bytes:
        """The next batch of a cursor that :meth:`send` opened; at the end it is empty.

        ``timeout=`` is for each fetch anew. A fetch that was cancelled or timed out goes on when
        the cursor is read on: no batch is lost.
        """
        self._end = None
        return await self._fetch(cursor)

    async def _fetch(self, cursor: BatchCursor) -> bytes:
        def start(_: driver.ClientSession | None) -> Start:
            return lambda _: cursor.fetch()

        sending = _Sending("getMore", start, torn=True)
        batch: bytes = await self._carry(sending, seen=is_observed() and cursor.asks_server())
        cursor.arrived(batch)
        return batch

    async def command(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Run a command on the collection's database and give its reply.

        :raises OperationError: it failed, in a part or as a whole.
        """
        reply = await self._run(command)
        error = reply_error(reply, self.operation) if self.write else None
        if error is None:
            return reply
        if self.transaction is not None:
            self.transaction._doom(error)
        raise error

    async def write_command(
        self, command: Mapping[str, Any], *, repeatable: bool = False
    ) -> dict[str, Any]:
        """Run an ``insert``, ``update`` or ``delete`` command of many statements.

        The write concern (the option's, or the collection's own) goes along outside of sessions;
        ``bypass_document_validation``, ``let`` and ``comment`` always.

        :param repeatable: the statements may be carried out twice, so outside of transactions and
            sessions they are sent once more after an error that leaves the outcome open.
        :returns: the reply, also where ``writeErrors`` stand in it.
        :raises OperationError: the command failed as a whole; or (``outcome`` "applied" or
            "partial", the reply in ``details``) only the write concern did.
        """
        alone = self.is_alone
        concern = driver.write_concern_of(self.target.collection) if alone else None
        command = {**command, **write_fields(self.options, concern, self.operation)}
        size = max(len(command.get(name, ())) for name in ("documents", "updates", "deletes"))

        def send() -> Coroutine[Any, Any, dict[str, Any]]:
            return self._run(command, size)

        try:
            reply = await (retry_once(send) if repeatable and alone else send())
        except CancelledCall as error:
            if isinstance(error.reply, bytes):
                error.reply = decode(error.reply)
            raise
        failed = reply_error(reply, self.operation)
        if failed is not None and self.transaction is not None:
            self.transaction._doom(failed)
        if failed is not None and "writeConcernError" in reply:
            raise failed
        return reply

    # -- how they are sent

    async def _run(self, command: Mapping[str, Any], size: int | None = None) -> dict[str, Any]:
        data = encode(command)
        name = next(iter(command))

        def start(session: driver.ClientSession | None) -> Start:
            method = driver.command_method(self.target.database, session)
            timed = "maxTimeMS" not in command

            def started(left: float | None) -> Any:
                if left is None or not timed:
                    return method(data, None)
                return method(driver.appended(data, {"maxTimeMS": milliseconds(left)}), None)

            return started

        return decode(await self._carry(_Sending(name, start, size=size)))

    def _batches(self, core: Any) -> DriverCursor:
        return DriverCursor(
            core,
            self.options.get("batch_size"),
            self.options.get("limit", 0),
            in_session=self.session is not None or self.transaction is not None,
        )

    def _encoded_options(self, verb: str, left: float | None) -> bytes | None:
        options = self.options
        if left is not None and verb in _TIMED and "max_time_ms" not in options:
            if verb in _CURSORS:
                # The server counts a cursor's time over all its batches, as the block's budget
                # does; timeout= is for each batch.
                left = block_end() - now()
            if left != math.inf:
                options = {**options, "max_time_ms": milliseconds(left)}
        return driver.encode_options(options)

    async def _carry(self, sending: _Sending, *, seen: bool | None = None) -> Any:
        transaction = current()
        if transaction is not self.transaction:
            raise TransactionError(
                f"{self.operation}: it was begun "
                f"{'outside of the' if self.transaction is None else 'in another'} transaction and "
                f"cannot be continued here; open and read a cursor on one side of the border"
            )
        if self.target.state.unusable is not None:
            raise ServerUnavailableError(
                f"{self.operation}: {self.target.state.unusable}", outcome="not_applied"
            )
        if is_observed() if seen is None else seen:
            with observed(
                self.target.database.name,
                self.target.name,
                sending.command,
                self.operation,
                sending.size,
            ):
                return await self._carry_in_session(sending)
        return await self._carry_in_session(sending)

    # Plain functions that hand the awaitable on: every coroutine on the way costs each operation.

    def _carry_in_session(self, sending: _Sending) -> Awaitable[Any]:
        until = self._until()
        if self.transaction is None:
            return self._carry_out(sending, self.session, until)
        return self.transaction._run(
            self, sending.command, until, lambda session: self._carry_out(sending, session, until)
        )

    def _carry_out(
        self, sending: _Sending, session: driver.ClientSession | None, until: float
    ) -> Awaitable[Any]:
        return carry(
            sending.start(session),
            self.target.state,
            self.operation,
            until=until,
            write=self.write,
            torn=sending.torn and session is None and not self.write,
            document=sending.document,
            many=sending.command in _MANY,
        )


def _did_something(reply: Mapping[str, Any]) -> bool:
    if "matched_count" in reply:
        return bool(reply["matched_count"]) or reply["upserted_id"] is not None
    return bool(reply.get("deleted_count", 1))


def _nothing() -> None:
    """For calls that have nothing to do when a commit's outcome is unknown."""

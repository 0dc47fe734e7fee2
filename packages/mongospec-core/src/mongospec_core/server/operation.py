"""One operation: its target, session, transaction and timeout."""

import math
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Self

from bson.errors import BSONError

from mongospec_core.codec.codec_options import encode, named
from mongospec_core.codec.elements import array_of, join_elements
from mongospec_core.errors import (
    EncodingError,
    OperationError,
    OptionError,
    Outcome,
    ServerUnavailableError,
    TransactionError,
    cut,
)
from mongospec_core.server import driver
from mongospec_core.server.client import Target
from mongospec_core.server.driver import milliseconds, write_fields
from mongospec_core.server.driver_call import (
    CANCEL_GRACE_SECONDS,
    CancelledCall,
    execute,
    seconds_left,
)
from mongospec_core.server.driver_cursor import DriverCursor
from mongospec_core.server.driver_errors import reply_error
from mongospec_core.server.instrument import is_observed, observed
from mongospec_core.server.reply import decode_reply
from mongospec_core.server.retry import retry_once
from mongospec_core.server.timeout import block_end, end_of, now
from mongospec_core.server.transaction import Transaction
from mongospec_core.server.transaction_blocks import current

type BatchCursor = DriverCursor
"""What :meth:`Operation.open` returns, for :meth:`Operation.fetch`."""

_CURSORS = frozenset({"find", "aggregate"})
_UNSEEN = nullcontext()
_TIMED = frozenset(verb for verb, known in driver.OPTIONS.items() if "max_time_ms" in known)


def outcome_of(error: BaseException) -> Outcome:
    """Return the outcome recorded on *error*, else "unknown"."""
    outcome: Outcome = getattr(error, "outcome", "unknown")
    return outcome


type _Start = Callable[[driver.ClientSession | None, float | None], Awaitable[Any]]
"""Starts a driver call, with or without a session, with the seconds that are left for it."""


class Operation:
    """One operation of one caller: its target, its session and its timeout.

    It may send several commands, which share the session and the time. It belongs to the transaction
    in which it was created, and can only be sent there.
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

    def for_target(
        self, target: Target, operation: str, options: Mapping[str, Any], *, write: bool
    ) -> Self:
        """Return a further call of the same operation: same session, same transaction, same time."""
        call = type(self)(
            target, operation, options, write=write, session=self.session, timeout=self.timeout
        )
        call.transaction = self.transaction
        call._end = self._end
        return call

    def lookup(self, verb: str, **options: Any) -> Self:
        """Return a further read of this operation on its collection, by the driver's *verb*."""
        assert options.keys() <= driver.OPTIONS[verb]
        return self.for_target(self.target, self.operation, options, write=False)

    def look(self, verb: str, projection: Mapping[str, Any]) -> Self:
        """Return a read from the primary, which sees what was just written.

        :param verb: ``"find_one"`` or ``"find_many"``.
        """
        if self.transaction is not None:  # it reads from the primary
            return self.lookup(verb, projection=projection)
        return self.lookup(verb, projection=projection, read_preference={"mode": "primary"})

    def without_timeout(self) -> Self:
        """Return the same call without its own timeout; ``with timeout()`` blocks still apply."""
        call = self.for_target(self.target, self.operation, self.options, write=self.write)
        call.timeout, call._end = math.inf, None
        return call

    @property
    def is_alone(self) -> bool:
        """Whether it has no transaction or session that an error would end."""
        return self.transaction is None and self.session is None

    def on_abort(
        self, undo: Callable[[], None], *, if_unknown: Callable[[], None] | None = None
    ) -> None:
        """Call *undo* if the transaction that this call belongs to is aborted.

        :param if_unknown: called instead if the outcome of the commit is unknown.
        """
        if self.transaction is not None:
            self.transaction._on_abort(undo, if_unknown or _nothing)

    # -- commands

    def send(
        self, verb: str, *arguments: Any, document: Mapping[str, Any] | None = None
    ) -> Awaitable[Any]:
        """Run one of the driver's verbs on the collection; BSON in, BSON out.

        :param document: the raw document that is written, for a duplicate key's values.
        :returns: the driver's reply; decoded for updates and deletes.
        """
        target = self.target
        if (
            self.transaction is None
            and self.session is None
            and self.timeout is None
            and target.timeout is None
            and target.state.unusable is None
            and current() is None
            and block_end() == math.inf
            and not is_observed()
        ):  # the usual case: nothing to do but to send it
            return execute(
                getattr(target.core, verb),
                (*arguments, self._encoded_options(verb) if self.options else None),
                target.state,
                self.operation,
                verb,
                self.write,
                CANCEL_GRACE_SECONDS if self.write else 0,
                None,
                document,
            )
        if verb == "find_many" and is_observed():
            return self._find_seen(*arguments)

        def start(session: driver.ClientSession | None, remaining: float | None) -> Awaitable[Any]:
            method = driver.method(target.core, verb, session)
            return method(*arguments, self._encoded_options(verb, remaining))

        size = len(arguments[0]) if verb == "insert_many" else None
        return self._run(verb, start, document=document, size=size, cancellable=True)

    async def open(self, verb: str, query: bytes | list[bytes]) -> BatchCursor:
        """Run ``find`` or ``aggregate``; :meth:`fetch` returns its batches."""
        return DriverCursor(
            await self.send(verb, query),
            self.options.get("batch_size"),
            self.options.get("limit", 0),
            in_session=self.session is not None or self.transaction is not None,
        )

    async def fetch(self, cursor: BatchCursor) -> list[bytes]:
        """Return the documents of the next batch of a cursor that :meth:`open` opened; none at its end.

        ``timeout=`` applies to each fetch. A fetch that was cancelled or timed out is continued by
        the next one: no batch is lost.
        """
        self._end = None
        return await self._fetch(cursor)

    async def _fetch(self, cursor: BatchCursor) -> list[bytes]:
        # The server may return early, so a single empty batch need not be the last. The driver asks
        # it only while its cursor is open: at the end the second fetch sends nothing.
        for _ in range(2):
            batch: bytes = await self._run(
                "getMore",
                lambda _, remaining: cursor.fetch(remaining),
                cancellable=True,
                seen=is_observed() and cursor.asks_server(),
            )
            if documents := cursor.arrived(batch):
                return documents
        return []

    async def _find_seen(self, query: bytes) -> bytes:
        """Run a ``find_many`` batch by batch, so that observers see every command."""
        cursor = await self.open("find", query)
        found: list[bytes] = []
        while documents := await self._fetch(cursor):
            found += documents
        return array_of(found)

    async def command(self, command: Mapping[str, Any], like: Any = None) -> dict[str, Any]:
        """Run a command on the collection's database and return its reply.

        :param like: a type that the reply has to fit.
        :raises OperationError: it failed, in part or as a whole.
        """
        data = named(self.operation, "a command", encode, command)
        reply = await self._command(command, data, like=like)
        error = reply_error(reply, self.operation) if self.write else None
        if error is None:
            return reply
        if self.transaction is not None:
            self.transaction._doom(error)
        raise error

    async def write_command(
        self,
        command: str,
        field: str,
        statements: Sequence[bytes],
        *,
        ordered: bool,
        repeatable: bool = False,
    ) -> dict[str, Any]:
        """Run an ``insert``, ``update`` or ``delete`` command of many statements.

        The write concern (the option's, or the collection's own) is sent outside of sessions;
        ``bypass_document_validation``, ``let`` and ``comment`` always.

        :param field: the command's field for the statements, each of which is BSON.
        :param repeatable: the statements may be applied twice, so outside of transactions and
            sessions they are sent once more after an error with an unknown outcome.
        :returns: the reply, even if it has ``writeErrors``.
        :raises OperationError: the command failed as a whole; or (``outcome`` "applied" or
            "partial", the reply in ``details``) only the write concern did.
        """
        alone = self.is_alone
        concern = self.target.write_concern if alone else None
        fields = write_fields(self.options, concern, self.operation)
        head = encode({command: self.target.name, "ordered": ordered})
        tail = named(self.operation, "options", encode, fields)[4:-1] if fields else b""
        array = b"\4%b\0" % field.encode(), array_of(statements)
        data = join_elements((head[4:-1], *array, tail))

        def send() -> Coroutine[Any, Any, dict[str, Any]]:
            return self._command({command: self.target.name}, data, len(statements))

        try:
            reply = await (retry_once(send) if repeatable and alone else send())
        except CancelledCall as error:
            if isinstance(error.reply, bytes):
                try:
                    error.reply = decode_reply(error.reply, len(statements))
                except (BSONError, ValueError):  # it is damaged
                    error.reply, error.outcome = None, "unknown"
            raise
        failed = reply_error(reply, self.operation)
        if failed is not None and self.transaction is not None:
            self.transaction._doom(failed)
        if failed is not None and "writeConcernError" in reply:
            raise failed
        return reply

    # -- how they are sent

    async def _command(
        self, command: Mapping[str, Any], data: bytes, size: int | None = None, like: Any = None
    ) -> dict[str, Any]:
        def start(session: driver.ClientSession | None, remaining: float | None) -> Awaitable[Any]:
            method = driver.method(self.target.database_core, "run_command", session)
            if remaining is None or "maxTimeMS" in command:
                return method(data, None)
            limit = encode({"maxTimeMS": milliseconds(remaining)})[4:-1]
            return method(join_elements((data[4:-1], limit)), None)

        return self._decoded(await self._run(next(iter(command)), start, size=size), size, like)

    def _decoded(self, data: bytes, size: int | None, like: Any) -> dict[str, Any]:
        try:
            return decode_reply(data, size, like)
        except (BSONError, ValueError) as error:
            damaged = OperationError(
                f"{self.operation}: the server's reply is damaged: {cut(str(error))}",
                outcome="unknown" if self.write else "not_applied",
            )
            if self.transaction is not None:
                self.transaction._doom(damaged)
            raise damaged from error

    def _encoded_options(self, verb: str, remaining: float | None = None) -> bytes | None:
        options = self.options
        if remaining is not None and verb in _TIMED and "max_time_ms" not in options:
            if verb in _CURSORS:
                # The server counts a cursor's time over all its batches, like the block's budget;
                # timeout= applies to each batch.
                remaining = block_end() - now()
            if remaining != math.inf:
                options = {**options, "max_time_ms": milliseconds(remaining)}
        try:
            return encode(options) if options else None
        except EncodingError as error:
            raise OptionError(f"{self.operation}: {error}") from error

    async def _run(
        self,
        command: str,
        start: _Start,
        *,
        document: Mapping[str, Any] | None = None,
        size: int | None = None,
        cancellable: bool = False,
        seen: bool | None = None,
    ) -> Any:
        """Send one command in its transaction and session, within its time, and report it to observers.

        :param size: how many documents or statements it has, for observers.
        :param cancellable: whether a read may be given up at once.
        :param seen: whether observers are called; None: if there are any.
        """
        target = self.target
        if current() is not self.transaction:
            raise TransactionError(
                f"{self.operation}: it was begun "
                f"{'outside of the' if self.transaction is None else 'in another'} transaction and "
                f"cannot be continued here; open and read a cursor on the same side"
            )
        if target.state.unusable is not None:
            raise ServerUnavailableError(
                f"{self.operation}: {target.state.unusable}", outcome="not_applied"
            )
        if self._end is None:
            self._end = end_of(
                target.timeout if self.timeout is None else self.timeout, self.operation
            )
        deadline = min(self._end, block_end())

        if target.state.silent and self.write and deadline != math.inf and self.transaction is None:
            await self._ping(deadline)

        def send(session: driver.ClientSession | None) -> Awaitable[Any]:
            remaining = seconds_left(deadline, self.operation)
            interruptible = cancellable and session is None and not self.write
            return execute(
                start,
                (session, remaining),
                target.state,
                self.operation,
                command,
                self.write,
                0 if interruptible else CANCEL_GRACE_SECONDS,
                remaining,
                document,
            )

        attributes = (target.database.name, target.name, command, self.operation, size)
        reported = is_observed() if seen is None else seen
        with observed(*attributes) if reported else _UNSEEN:
            if self.transaction is None:
                return await send(self.session)
            return await self.transaction._run(self, command, deadline, send)

    async def _ping(self, deadline: float) -> None:
        """Wait for a server before a write: a write that waits in the driver cannot be withdrawn.

        :raises OperationError: no server was found in time; the write was not sent.
        """
        target, remaining = self.target, seconds_left(deadline, self.operation)
        start = driver.method(target.database_core, "run_command", None)
        arguments = encode({"ping": 1}), None
        await execute(start, arguments, target.state, self.operation, "ping", False, 0, remaining)
        target.state.silent = False


def _nothing() -> None:
    """Do nothing if a commit's outcome is unknown."""

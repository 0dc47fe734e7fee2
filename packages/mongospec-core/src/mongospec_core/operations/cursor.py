"""A typed cursor: the server's batches, one at a time, each converted in one call."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from mongospec_core.codec.codec_options import decode
from mongospec_core.errors import (
    CursorClosedError,
    DocumentValidationError,
    OperationError,
    OptionError,
    shown,
)
from mongospec_core.model.binding import refuse_crossing
from mongospec_core.model.read import STORED, BatchReader
from mongospec_core.server import place as places
from mongospec_core.server.driver import WIRE_NAMES
from mongospec_core.server.operation import BatchCursor, Operation

SERVER_FIRST_BATCH = 101  # the server's default
DEFAULT_BATCH_SIZE = 1_000
"""Documents in a batch; the server's own default is 101, then 16 MB at once."""


class Query[T](NamedTuple):
    """The ``find`` or ``aggregate`` behind a cursor, not sent yet.

    :ivar asked: returns its filter or its stages, as BSON.
    :ivar reader: returns the reader that decodes a batch.
    """

    call: Operation
    verb: Literal["find", "aggregate"]
    asked: Callable[[], Awaitable[Any]]
    reader: Callable[[], BatchReader[T]]

    async def open(self, batch_size: int | None) -> BatchCursor:
        """Send it, and return the driver's cursor."""
        if batch_size is not None:
            self.call.options = {**self.call.options, "batch_size": batch_size}
        return await self.call.open(self.verb, await self.asked())

    async def explain(self, verbosity: str) -> dict[str, Any]:
        """Return how the server would run it."""
        collection, asked = self.call.target.name, await self.asked()
        options = self.call.options
        command: dict[str, Any]
        if self.verb == "find":
            command = {"find": collection, "filter": decode(asked)}
        else:
            command = {"aggregate": collection, "pipeline": list(map(decode, asked)), "cursor": {}}
            beside = ("batch_size", "comment")
            options = {name: value for name, value in options.items() if name not in beside}
        command |= {WIRE_NAMES.get(name, name): value for name, value in options.items()}
        return await self.call.command({"explain": command, "verbosity": verbosity})


class Cursor[T]:
    """The documents of a query, read once and forward; nothing is sent before the first read.

    It can be awaited (which sends the query and returns the cursor), iterated with ``async for``,
    read by ``to_list()`` or ``batches()``, and used as ``async with``. It holds one batch of 1,000
    documents (``batch_size=``) in memory. A loop may be left early: the next loop continues with the
    next document, and a cursor that is dropped is closed on the server. Even after a cancellation or
    a timeout, further reading returns every document exactly once. ``timeout=`` is for each batch.
    An exhausted cursor returns nothing more. Tailable cursors are not offered.

    .. code-block:: python

        async for user in User.find({"active": True}, sort="name"):
            print(user.name)
    """

    __slots__ = (
        "_batch_size",
        "_buffer",
        "_closed",
        "_cursor",
        "_done",
        "_lock",
        "_query",
        "_unread",
    )

    def __init__(self, query: Query[T], batch_size: int | None = None) -> None:
        self._query = query
        self._batch_size = batch_size
        self._buffer: deque[T] = deque()
        self._unread: list[bytes] = []  # a batch that was received and is not yet decoded
        self._lock = asyncio.Lock()  # one batch at a time, for any number of tasks
        self._cursor: BatchCursor | None = None
        self._closed = False
        self._done = False

    # -- reading

    def __await__(self) -> Generator[Any, None, Self]:
        """Send the query now and return the cursor itself."""
        yield from self._open(self._batch_size or DEFAULT_BATCH_SIZE).__await__()
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._closed:
            self._refuse_closed()
        while not self._buffer:
            if self._done:
                raise StopAsyncIteration
            self._buffer.extend(await self._next_batch(DEFAULT_BATCH_SIZE))
        return self._buffer.popleft()

    async def to_list(self, length: int | None = None) -> list[T]:
        """Return the next documents as a list.

        :param length: the maximum number; None: all that are left. At the end the list is empty.
        :raises DocumentValidationError: a stored document does not fit its class.

        .. code-block:: python

            page = await User.find(sort="name").to_list(20)
        """
        if length is not None and (type(length) is not int or length < 0):
            raise OptionError(
                f"to_list({shown(length)}): a length is a whole number of at least 0, or None for all"
            )
        self._refuse_closed()
        # All: the server's default batches, which are as large as a reply can be.
        # A few: the driver keeps the size for every later batch, so not too small.
        batch_size = (
            None if length is None else max(SERVER_FIRST_BATCH, min(length, DEFAULT_BATCH_SIZE))
        )
        while not self._done and (length is None or len(self._buffer) < length):
            self._buffer.extend(await self._next_batch(batch_size))
        count = len(self._buffer) if length is None else min(length, len(self._buffer))
        return [self._buffer.popleft() for _ in range(count)]

    async def batches(self) -> AsyncIterator[list[T]]:
        """Return the documents in the server's batches, each a list.

        .. code-block:: python

            async for users in User.find(batch_size=500).batches():
                print(len(users))
        """
        while True:
            self._refuse_closed()
            if self._buffer:
                batch = list(self._buffer)
                self._buffer.clear()
                yield batch
            if self._done:
                return
            self._buffer.extend(await self._next_batch(DEFAULT_BATCH_SIZE))

    async def explain(self, verbosity: str = "queryPlanner") -> dict[str, Any]:
        """Return how the server would run the query; the cursor is not changed.

        :param verbosity: ``"queryPlanner"``, ``"executionStats"`` or ``"allPlansExecution"``.
        """
        if places.used:
            refuse_crossing(self._query.call.target, self._query.call.operation)
        return await self._query.explain(verbosity)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Raise an error with the way out: a query cannot be changed by chaining as in pymongo."""
            if name in ("sort", "skip", "limit", "batch_size", "hint", "collation", "comment"):
                raise AttributeError(
                    f"a cursor has no {name}(): pass it to the query, find(..., {name}=...)"
                )
            raise AttributeError(f"a cursor has no {name}")

    # -- closing

    async def close(self) -> None:
        """Close the cursor, on the server too; further reading raises. Idempotent."""
        self._closed = self._done = True
        self._cursor = None  # the driver kills the server's cursor with the last reference
        self._unread = []
        self._buffer.clear()

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    # -- the driver's cursor

    def _refuse_closed(self) -> None:
        if self._closed:
            raise CursorClosedError(
                f"{self._query.call.operation}: the cursor was closed; call the method again to read again"
            )

    async def _open(self, batch_size: int | None) -> BatchCursor:
        self._refuse_closed()
        if places.used:
            refuse_crossing(self._query.call.target, self._query.call.operation)
        if self._cursor is None:
            self._cursor = await self._query.open(self._batch_size or batch_size)
        return self._cursor

    async def _next_batch(self, batch_size: int | None) -> list[T]:
        async with self._lock:
            if self._done:
                return []  # another task has read the last batch
            call = self._query.call
            if not self._unread:
                self._unread = await call.fetch(await self._open(batch_size))
            if not self._unread:
                self._done = True
                self._cursor = None
                return []
            try:
                documents = await self._query.reader().load(self._unread, call)
            except OperationError:
                raise  # a further query failed: the batch is kept for another attempt
            except Exception:
                self._unread = []  # invalid documents are reported once
                raise
            self._unread = []
            return documents


class ResultReader:
    """Reads results of a pipeline, which are not stored documents."""

    def __init__(self, reader: BatchReader[Any]) -> None:
        self._reader = reader

    async def load(self, parts: list[bytes], call: Operation | None) -> list[Any]:
        try:
            return await self._reader.load(parts, call)
        except DocumentValidationError as error:
            if error.advice != STORED:  # a document behind a reference
                raise
            raise DocumentValidationError(
                error.document_class,
                error.failures,
                f"a result of the pipeline; correct its stages, or the fields of "
                f"{error.document_class.__name__}",
            ) from error.__cause__

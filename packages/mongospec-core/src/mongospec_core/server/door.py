"""The door: every command of every package goes to the server through a :class:`Call`."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import bson
import mongojet

from mongospec_core.codec.values import DECIMAL, encode
from mongospec_core.errors import Outcome
from mongospec_core.server import driver
from mongospec_core.server.outcome import translate
from mongospec_core.server.target import Target


def outcome_of(error: BaseException) -> Outcome:
    """What became of the write that *error* ended; without word from the door, nobody knows."""
    outcome: Outcome = getattr(error, "outcome", "unknown")
    return outcome


class BatchCursor(Protocol):
    """The Rust side of a cursor."""

    def next_batch(self) -> Awaitable[bytes]: ...


class Call:
    """One operation of one caller: where it goes, in which session, in how much time.

    An operation may send several commands; they share the session and the time.
    """

    __slots__ = ("operation", "options", "session", "target", "timeout", "write")

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
        self.target = target
        self.operation = operation
        self.options = options
        self.write = write
        self.session = session
        self.timeout = timeout

    @property
    def certain(self) -> bool:
        """Whether an acknowledged write is there for good, or we learn it when it is not.

        In a session that the caller opened, a transaction may end without our knowing.
        """
        return self.session is None

    def on_abort(
        self, undo: Callable[[], None], *, unsure: Callable[[], None] | None = None
    ) -> None:
        """Call *undo* should the transaction that this call belongs to be aborted."""

    async def send(
        self, verb: str, *arguments: Any, document: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one of the driver's verbs on the collection; BSON in, BSON out.

        :param document: the raw document that is written, for a duplicate key's values.
        """
        method = driver.method(self.target.collection, verb, self.session)
        answer = method(*arguments, driver.encode_options(self.options))
        return await self._carry(answer, document)

    async def reply(self, verb: str, *arguments: Any) -> dict[str, Any]:
        """Like :meth:`send`, for verbs that answer with a small document."""
        return bson.decode(await self.send(verb, *arguments), codec_options=DECIMAL)

    async def command(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Run a command on the collection's database and give its reply."""
        method = driver.command_method(self.target.database, self.session)
        return bson.decode(await self._carry(method(encode(command), None)), codec_options=DECIMAL)

    async def fetch(self, cursor: BatchCursor) -> bytes:
        """The next batch of a cursor that :meth:`send` opened."""
        return await self._carry(cursor.next_batch())

    async def _carry(
        self, answer: Awaitable[Any], document: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            return await answer
        except (mongojet.PyMongoError, ValueError) as error:
            raise translate(error, self.operation, document, write=self.write) from error

"""The commands that the proxy saw, and a limit on the queries among them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, Self

from mongospec_testing.wire import OP_QUERY, Body, Frame, decode, first_key

HELLO = frozenset({"hello", "isMaster", "ismaster"})
# What a driver sends by itself: not counted, and matched only by name or with monitoring=True.
MONITORING = HELLO | {"saslStart", "saslContinue", "authenticate", "getnonce"}
QUERIES = frozenset({"find", "aggregate", "count", "distinct"})

SHOWN_CHARACTERS = 200


class Command:
    """One command as it passed the proxy; its body is decoded when it is looked at.

    Attributes: ``name`` (``"find"``, as sent) and ``connection`` (a number, one for each connection of a client).
    """

    def __init__(self, frame: Frame, connection: int) -> None:
        self._frame = frame
        self.name = first_key(frame.document())
        self.connection = connection

    @cached_property
    def body(self) -> Body:
        """The whole command, with the documents that travel beside it (``documents``, ``updates``, ``deletes``)."""
        return self._frame.body()

    @cached_property
    def _head(self) -> Body:
        return decode(self._frame.document())

    @property
    def database(self) -> str:
        """The database it was sent to."""
        if self._frame.op_code == OP_QUERY:
            return self._frame.payload[4:].partition(b".")[0].decode()
        return str(self._head.get("$db", ""))

    @property
    def collection(self) -> str | None:
        """The collection it names, ``None`` if it names none."""
        head = self._head
        name: Any = head["collection"] if self.name == "getMore" else head[self.name]
        return name if isinstance(name, str) else None

    @property
    def monitoring(self) -> bool:
        """Whether drivers send it by themselves: ``hello`` and authentication."""
        return self.name in MONITORING

    def __repr__(self) -> str:
        rest = {
            name: value
            for name, value in self.body.items()
            if name not in {self.name, "lsid"} and not name.startswith("$")
        }
        text = f"{self.name} {self.collection or ''} {rest}"
        return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


class QueryLimit:
    """A block with a limit on queries; made by :meth:`FaultProxy.max_queries`.

    ``with`` and ``async with`` do the same.
    """

    def __init__(
        self, record: Callable[[], AbstractContextManager[list[Command]]], limit: int
    ) -> None:
        if limit < 0:
            raise ValueError("max_queries takes a number of at least 0")
        self._record = record
        self._limit = limit
        self.commands: Sequence[Command] = ()

    @property
    def queries(self) -> list[Command]:
        """The queries of the block so far."""
        return [command for command in self.commands if command.name in QUERIES]

    def __enter__(self) -> Self:
        self._recording = self._record()
        self.commands = self._recording.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._recording.__exit__(*error)
        sent = len(self.queries)
        if error[0] is None and sent > self._limit:
            lines = "\n".join(f"  {command!r}" for command in self.commands)
            raise AssertionError(
                f"{sent} queries were sent, {self._limit} allowed; all commands:\n{lines}"
            )

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *error: Any) -> None:
        self.__exit__(*error)


type MaxQueries = Callable[[int], QueryLimit]
"""The type of the fixture ``max_queries``, for the annotations of tests."""

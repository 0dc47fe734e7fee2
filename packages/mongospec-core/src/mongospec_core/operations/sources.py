"""The queries behind cursors, as they are sent when a cursor is first read."""

from typing import Any, cast

from mongospec_core.codec.values import decode
from mongospec_core.document.binding import Binding
from mongospec_core.document.reader import PlainReader
from mongospec_core.operations.cursor import BatchReader
from mongospec_core.operations.filters import Filter, or_all, scoped
from mongospec_core.operations.reading import Reading
from mongospec_core.server.door import BatchCursor, Call
from mongospec_core.server.wire import WIRE_NAMES


class FindSource:
    """A ``find`` that a cursor will send."""

    def __init__(
        self,
        binding: Binding,
        call: Call,
        filter: Filter | None,
        reading: Reading,
        skip_hooks: bool,
    ) -> None:
        self.binding = binding
        self.call = call
        self._filter = filter
        self._reading = reading
        self._skip_hooks = skip_hooks

    async def _query(self) -> bytes:
        return await scoped(self.binding, or_all(self._filter), skip_hooks=self._skip_hooks)

    async def open(self, batch_size: int | None) -> BatchCursor:
        if batch_size is not None:
            self.call.options = {**self.call.options, "batch_size": batch_size}
        return cast("BatchCursor", await self.call.send("find", await self._query()))

    async def explain(self, verbosity: str) -> dict[str, Any]:
        command = {
            "find": self.binding.target.name,
            "filter": decode(await self._query()),
            **{WIRE_NAMES.get(name, name): value for name, value in self.call.options.items()},
        }
        return await self.call.command({"explain": command, "verbosity": verbosity})

    def reader(self) -> BatchReader[Any]:
        return self._reading.reader(self.binding, self.call)


class AggregateSource:
    """An ``aggregate`` that a cursor will send."""

    def __init__(
        self,
        binding: Binding,
        call: Call,
        stages: list[bytes],
        reading: Reading | None,
    ) -> None:
        self.binding = binding
        self.call = call
        self._stages = stages
        self._reading = reading

    async def open(self, batch_size: int | None) -> BatchCursor:
        if batch_size is not None:
            self.call.options = {**self.call.options, "batch_size": batch_size}
        return cast("BatchCursor", await self.call.send("aggregate", self._stages))

    async def explain(self, verbosity: str) -> dict[str, Any]:
        options = {
            WIRE_NAMES.get(name, name): value
            for name, value in self.call.options.items()
            if name not in ("batch_size", "comment")
        }
        command: dict[str, Any] = {
            "aggregate": self.binding.target.name,
            "pipeline": [decode(stage) for stage in self._stages],
            "cursor": {},
            **options,
        }
        return await self.call.command({"explain": command, "verbosity": verbosity})

    def reader(self) -> BatchReader[Any]:
        if self._reading is None:
            return PlainReader()
        return self._reading.reader(self.binding, self.call)

"""The rules of a proxy: a match and an action for the commands that match."""

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Literal, Self, TypedDict, override

from mongospec_testing.traffic import Command
from mongospec_testing.wire import Body, decode, encode

type Names = str | Collection[str] | None
type Moment = Literal["request", "reply"]
type CutMoment = Literal["request", "reply", "mid-reply"]

POLL_SECONDS = 0.002


class Match(TypedDict, total=False):
    """Which commands a rule is for, besides their names.

    :param where: a predicate that must also hold. It runs in the proxy's thread.
    :param skip: let this many matching commands pass first (``skip=2, times=1``: only the third).
    :param times: match at most this many commands; without it, all until the rule is removed.
    :param monitoring: match ``hello`` and the commands of authentication too, if no names are given.
    """

    where: Callable[[Command], bool]
    skip: int
    times: int
    monitoring: bool


class Cut(Exception):  # noqa: N818 - it ends a connection, which is what was asked for
    """The connection ends here; after half of the reply, if one is on its way and *halfway* says so."""

    def __init__(self, *, halfway: bool = False) -> None:
        super().__init__()
        self.halfway = halfway


class Action:
    """What to do with a command and with its reply. This one does nothing.

    Documents are BSON, so that an action can also make what no encoder would write.
    """

    async def request(self, command: Command) -> bytes | None:
        """Handle a command that the server has not seen; a returned answer is sent in the server's place."""
        return None

    def forwarded(self, command: Command, document: bytes) -> bytes:
        """Return what the server gets to see of a command that no action has answered."""
        return document

    async def reply(self, command: Command, document: bytes) -> bytes:
        """Handle a reply that the client has not seen; what is returned is delivered."""
        return document

    def end(self) -> None:
        """Release what is held, as the rule is removed. Runs in the proxy's loop."""


@dataclass
class Delay(Action):
    seconds: float
    at: Moment

    @override
    async def request(self, command: Command) -> bytes | None:
        if self.at == "request":
            await asyncio.sleep(self.seconds)
        return None

    @override
    async def reply(self, command: Command, document: bytes) -> bytes:
        if self.at == "reply":
            await asyncio.sleep(self.seconds)
        return document


@dataclass
class CutConnection(Action):
    at: CutMoment

    @override
    async def request(self, command: Command) -> bytes | None:
        if self.at == "request":
            raise Cut
        return None

    @override
    async def reply(self, command: Command, document: bytes) -> bytes:
        if self.at != "request":
            raise Cut(halfway=self.at == "mid-reply")
        return document


@dataclass
class Stall(Action):
    at: Moment
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @override
    async def request(self, command: Command) -> bytes | None:
        if self.at == "request":
            await self.released.wait()
        return None

    @override
    async def reply(self, command: Command, document: bytes) -> bytes:
        if self.at == "reply":
            await self.released.wait()
        return document

    @override
    def end(self) -> None:
        self.released.set()


@dataclass
class Answer(Action):
    document: bytes
    at: Moment

    @override
    async def request(self, command: Command) -> bytes | None:
        return self.document if self.at == "request" else None

    @override
    async def reply(self, command: Command, document: bytes) -> bytes:
        return self.document if self.at == "reply" else document


@dataclass
class TransientError(Answer):
    """An error that ends the transaction: a commit that is answered with it is an abort on the server."""

    @override
    async def request(self, command: Command) -> bytes | None:
        return None if command.name == "commitTransaction" else await super().request(command)

    @override
    def forwarded(self, command: Command, document: bytes) -> bytes:
        body = decode(document)
        body.pop("commitTransaction", None)  # another rule may have been first
        return encode({"abortTransaction": 1, **body})

    @override
    async def reply(self, command: Command, document: bytes) -> bytes:
        return self.document


@dataclass
class Rewrite(Action):
    change: Callable[[Body], Body]

    @override
    async def reply(self, command: Command, document: bytes) -> bytes:
        return encode(self.change(decode(document)))


@dataclass
class RewriteBson(Action):
    change: Callable[[bytes], bytes]

    @override
    async def reply(self, command: Command, document: bytes) -> bytes:
        return self.change(document)


class Rule:
    """A fault that is in force until it is removed: by :meth:`remove`, by leaving its ``with`` block, by
    ``proxy.clear()``, or when the proxy stops.

    Attributes: ``hits``, the commands that it was applied to.
    """

    def __init__(
        self, names: Names, match: Match, action: Action, remove: Callable[["Rule"], None]
    ) -> None:
        self.hits: list[Command] = []
        self.action = action
        self._names = None if names is None else {names} if isinstance(names, str) else set(names)
        self._where = match.get("where")
        self._skip = match.get("skip", 0)
        self._times = match.get("times")
        self._monitoring = match.get("monitoring", False)
        self._remove = remove
        self._seen = 0

    def take(self, command: Command) -> bool:
        """Return whether the rule applies to this command, and note it as a hit if so."""
        if not self._matches(command):
            return False
        self._seen += 1
        if self._seen <= self._skip or (
            self._times is not None and self._seen > self._skip + self._times
        ):
            return False
        self.hits.append(command)
        return True

    def _matches(self, command: Command) -> bool:
        if self._names is not None:
            named = command.name in self._names
        else:
            named = self._monitoring or not command.monitoring
        return named and (self._where is None or self._where(command))

    async def reached(self, count: int = 1, *, timeout: float = 10.0) -> Command:
        """Wait, in any event loop, until the rule has been applied to *count* commands.

        :returns: the last of them.
        :raises TimeoutError: after *timeout* seconds.
        """
        deadline = time.monotonic() + timeout
        while len(self.hits) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{len(self.hits)} of {count} matching commands came in {timeout} s"
                )
            await asyncio.sleep(POLL_SECONDS)
        return self.hits[count - 1]

    def remove(self) -> None:
        """End the rule; the commands that it stalls are passed on. Harmless when repeated."""
        self._remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

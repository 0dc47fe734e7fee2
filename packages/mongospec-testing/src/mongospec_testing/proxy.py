"""A proxy on the wire between a driver and its MongoDB: it counts commands and makes faults."""

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, Unpack

from mongospec_testing.errors import ProxyError
from mongospec_testing.looping import LoopThread
from mongospec_testing.relay import Relay
from mongospec_testing.rules import (
    Action,
    Answer,
    CutConnection,
    Delay,
    Match,
    Moment,
    Names,
    Rewrite,
    RewriteBson,
    Rule,
    Stall,
)
from mongospec_testing.traffic import Command, QueryLimit
from mongospec_testing.uri import Address, MongoUri
from mongospec_testing.wire import Body, ask, encode

CODE_NAMES = {
    50: "MaxTimeMSExpired",
    64: "WriteConcernFailed",
    91: "ShutdownInProgress",
    112: "WriteConflict",
    189: "PrimarySteppedDown",
    251: "NoSuchTransaction",
    262: "ExceededTimeLimit",
    10107: "NotWritablePrimary",
    11600: "InterruptedAtShutdown",
    11601: "Interrupted",
    11602: "InterruptedDueToReplStateChange",
    13435: "NotPrimaryNoSecondaryOk",
    13436: "NotPrimaryOrSecondary",
}


class FaultProxy:
    """Stands in front of a MongoDB, lets everything through, and does what its rules say to the commands they match.

    It runs in a thread of its own, so it works whatever the test's event loop does. Clients that connect to
    :attr:`uri` stay on the proxy: a replica set's ``hello`` is made to name it instead of the members.

    .. code-block:: python

        with FaultProxy(server.uri) as proxy:
            client = await mongojet.create_client(proxy.uri)
            with proxy.cut("insert", at="reply", times=1):
                await client["app"]["users"].insert_one({"name": "Ada"})  # the driver tries again
            assert proxy.count("insert") == 2

    Every rule takes the name of a command, several names, or ``None`` for all, and the options of
    :class:`~mongospec_testing.rules.Match`: ``where=`` (a predicate on the :class:`Command`), ``skip=``, ``times=``
    and ``monitoring=``. A rule is in force at once and until it is removed; as a context manager, to the end of the
    block. When several rules match, they act in the order in which they were made.

    :param uri: the server's connection string; of a replica set, the primary is taken. Credentials work, TLS and
        ``mongodb+srv://`` do not.
    :param port: the port to listen on; without it the system chooses.
    """

    def __init__(self, uri: str, *, port: int = 0) -> None:
        self._upstream = MongoUri.parse(uri)
        self._port = port
        self._rules: tuple[Rule, ...] = ()
        self._commands: list[Command] = []
        self._recorders: tuple[list[Command], ...] = ()
        self._errors: list[BaseException] = []
        self._relays: set[asyncio.Task[None]] = set()
        self._loop: LoopThread | None = None
        self._server: asyncio.Server | None = None
        self._connections = 0

    # -------------------------------------------------------------- running

    def start(self) -> Self:
        """Find the primary and listen on 127.0.0.1.

        :raises ProxyError: if there is no server to stand in front of, or it wants TLS.
        """
        if self._loop is not None:
            raise ProxyError("the proxy is running already")
        self._target = find_primary(self._upstream)
        self._loop = LoopThread("mongospec-proxy")
        try:
            self._address = self._loop.run(self._listen())
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Close every connection and end the thread; what is stalled is never sent. Harmless when repeated.

        :raises ProxyError: if a predicate or a rewriting function of a rule raised: the connection that it was for
            ended there, and the test did not see what it meant to.
        """
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.run(self._close())
            loop.stop()
        errors, self._errors = self._errors, []
        for error in errors:
            raise ProxyError(f"a rule of the proxy failed: {error!r}") from error

    async def _listen(self) -> Address:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        host, port = self._server.sockets[0].getsockname()
        return Address(host, port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._drop_connections()
        if self._server is not None:
            await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        relay = asyncio.create_task(Relay(self, self._connections, reader, writer).run())
        self._relays.add(relay)
        relay.add_done_callback(self._disconnected)

    def _disconnected(self, relay: asyncio.Task[None]) -> None:
        self._relays.discard(relay)
        if not relay.cancelled() and (error := relay.exception()) is not None:
            self._errors.append(error)

    async def _drop_connections(self) -> None:
        relays = list(self._relays)
        for relay in relays:
            relay.cancel()
        await asyncio.gather(*relays, return_exceptions=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _running(self) -> LoopThread:
        if self._loop is None:
            raise ProxyError(
                "the proxy is not running: use `with FaultProxy(uri) as proxy:`, or start() and stop()"
            )
        return self._loop

    @property
    def address(self) -> Address:
        """Where the proxy listens."""
        self._running()
        return self._address

    @property
    def target(self) -> Address:
        """The server behind it."""
        self._running()
        return self._target

    @property
    def uri(self) -> str:
        """The server's connection string, with the proxy in the place of the server.

        It asks for ``serverMonitoringMode=poll`` (unless it says otherwise already): a driver that listens to a
        stream of hellos takes ten seconds to come back after an error like PrimarySteppedDown, one that polls is
        back at once.
        """
        uri = self._upstream.at([self.address])
        return str(uri.with_default("serverMonitoringMode", "poll"))

    # -------------------------------------------------------------- looking

    @property
    def commands(self) -> list[Command]:
        """All commands so far, in the order in which they came, without those that a driver sends by itself."""
        return [command for command in self._commands if not command.monitoring]

    def count(self, *names: str) -> int:
        """How many commands of these names have come so far; without a name, how many of :attr:`commands`."""
        if not names:
            return len(self.commands)
        return sum(command.name in names for command in list(self._commands))

    @contextmanager
    def recording(self) -> Generator[list[Command]]:
        """A list that the commands of the block appear in as they come.

        .. code-block:: python

            with proxy.recording() as seen:
                await collection.find_one({})
            assert [command.name for command in seen] == ["find"]
        """
        seen: list[Command] = []
        self._recorders += (seen,)
        try:
            yield seen
        finally:
            self._recorders = tuple(each for each in self._recorders if each is not seen)

    def max_queries(self, limit: int) -> QueryLimit:
        """A block (``with`` or ``async with``) that may send so many queries.

        A query is a ``find``, ``aggregate``, ``count`` or ``distinct`` command; ``getMore`` is not counted. Leaving
        the block raises an AssertionError, which lists the commands, if there were more.
        """
        return QueryLimit(self, limit)

    def admit(self, command: Command) -> Sequence[Rule]:
        """Record a command and give the rules that apply to it (called by the relays, in the proxy's thread)."""
        self._commands.append(command)
        if not command.monitoring:
            for recorder in self._recorders:
                recorder.append(command)
        return [rule for rule in self._rules if rule.take(command)]

    # -------------------------------------------------------------- making faults

    def delay(
        self, command: Names, seconds: float, *, at: Moment = "request", **match: Unpack[Match]
    ) -> Rule:
        """Hold a command (``at="request"``) or its reply (``at="reply"``) for so long."""
        return self._add(command, match, Delay(seconds, at))

    def cut(self, command: Names = None, *, at: Moment = "request", **match: Unpack[Match]) -> Rule:
        """Close the connection: before the server sees the command, or, with ``at="reply"``, when it has carried it
        out and answered (a lost reply).

        ``cut(monitoring=True)`` and then :meth:`disconnect` make a server that cannot be reached.
        """
        return self._add(command, match, CutConnection(at))

    def stall(
        self, command: Names = None, *, at: Moment = "request", **match: Unpack[Match]
    ) -> Rule:
        """Take the command and do not answer until the rule is removed.

        With ``at="request"`` the server does not see it until then, with ``at="reply"`` it has carried it out. When
        the rule is removed, the command, or the reply, goes its way, as with a server that was only slow.
        ``stall(monitoring=True)`` makes a server that accepts connections and never says a word.
        """
        return self._add(command, match, Stall(at))

    def reply(
        self,
        command: Names,
        document: Mapping[str, Any],
        *,
        at: Moment = "request",
        **match: Unpack[Match],
    ) -> Rule:
        """Send this reply in place of the server's: without asking it, or, with ``at="reply"``, after it has carried
        the command out.
        """
        return self._add(command, match, Answer(encode(document), at))

    def fail(
        self,
        command: Names,
        code: int,
        *,
        message: str = "a fault made by the test",
        labels: Sequence[str] = (),
        at: Moment = "request",
        **match: Unpack[Match],
    ) -> Rule:
        """Reply with an error, without asking the server, or, with ``at="reply"``, after it has carried the command
        out.

        :param code: the server's error code, for example 189 (PrimarySteppedDown).
        :param labels: error labels, for example ``["RetryableWriteError"]``, which a server adds where a driver may
            try again.
        """
        error: Body = {"ok": 0.0, **_error(code, message)}
        if labels:
            error["errorLabels"] = list(labels)
        return self.reply(command, error, at=at, **match)

    def write_concern_error(
        self,
        command: Names,
        code: int = 64,
        *,
        message: str = "waiting for replication timed out",
        labels: Sequence[str] = (),
        **match: Unpack[Match],
    ) -> Rule:
        """Let the server carry the command out, and add a ``writeConcernError`` to its reply."""

        def add(reply: Body) -> Body:
            reply["writeConcernError"] = _error(code, message)
            if labels:
                reply["errorLabels"] = list(labels)
            return reply

        return self.rewrite(command, add, **match)

    def rewrite(
        self, command: Names, change: Callable[[Body], Body], **match: Unpack[Match]
    ) -> Rule:
        """Deliver what ``change`` makes of the decoded reply. It runs in the proxy's thread."""
        return self._add(command, match, Rewrite(change))

    def rewrite_bson(
        self, command: Names, change: Callable[[bytes], bytes], **match: Unpack[Match]
    ) -> Rule:
        r"""Deliver what ``change`` makes of the reply's BSON, for what no encoder writes, such as invalid UTF-8.

        .. code-block:: python

            proxy.rewrite_bson("find", lambda reply: reply.replace(b"broken", b"br\xffken"))
        """
        return self._add(command, match, RewriteBson(change))

    def disconnect(self) -> None:
        """Close the connections that there are; new ones are accepted."""
        self._running().run(self._drop_connections())

    def clear(self) -> None:
        """Remove all rules."""
        for rule in self._rules:
            rule.remove()

    def _add(self, names: Names, match: Match, action: Action) -> Rule:
        rule = Rule(names, match, action, self._remove)
        self._rules += (rule,)
        return rule

    def _remove(self, rule: Rule) -> None:
        self._rules = tuple(each for each in self._rules if each is not rule)
        if self._loop is not None:
            self._loop.loop.call_soon_threadsafe(rule.action.end)


def _error(code: int, message: str) -> Body:
    return {"errmsg": message, "code": code, "codeName": CODE_NAMES.get(code, f"Location{code}")}


def find_primary(uri: MongoUri) -> Address:
    """The address of the server that takes writes.

    :raises ProxyError: if there is none, or none that a proxy can stand in front of.
    """
    if uri.tls or uri.scheme != "mongodb":
        raise ProxyError(
            f"a FaultProxy reads what passes by, so it takes no TLS and no mongodb+srv:// (the URI is {uri.public!r})"
        )
    for address in uri.addresses:
        hello = ask(address, {"hello": 1})
        if hello is not None:
            if hello.get("isWritablePrimary") or "primary" not in hello:
                return address
            return Address.parse(hello["primary"])
    raise ProxyError(f"nothing answers at {uri.public!r}")

"""A proxy between a driver and its MongoDB: it counts commands and makes faults."""

import asyncio
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Self, override

from mongospec_testing.errors import ProxyError
from mongospec_testing.faults import Faults
from mongospec_testing.loop_thread import LoopThread
from mongospec_testing.relay import Relay
from mongospec_testing.rules import Rule
from mongospec_testing.traffic import Command, QueryLimit
from mongospec_testing.uri import Address, MongoUri
from mongospec_testing.wire import ask


class FaultProxy(Faults):
    """A proxy in front of a MongoDB, which forwards everything and applies its rules to matching commands.

    It runs in a thread of its own, so it works whatever the test's event loop does. Clients that connect to
    :attr:`uri` stay on the proxy: a replica set's ``hello`` is made to name it instead of the members.

    .. code-block:: python

        with FaultProxy(server.uri) as proxy:
            client = await mongojet.create_client(proxy.uri)
            with proxy.cut("insert", at="reply", times=1):
                await client["app"]["users"].insert_one({"name": "Ada"})  # the driver tries again
            assert proxy.count("insert") == 2

    For how rules match, see :class:`~mongospec_testing.faults.Faults`.

    :param uri: the server's connection string; of a replica set, the primary is taken. Credentials work, TLS and
        ``mongodb+srv://`` do not.
    :param port: the port to listen on; without it the system chooses.
    """

    def __init__(self, uri: str, *, port: int = 0) -> None:
        super().__init__()
        self._upstream = MongoUri.parse(uri)
        self._port = port
        self._commands: list[Command] = []
        self._recorders: tuple[list[Command], ...] = ()
        self._errors: list[BaseException] = []
        self._relays: set[asyncio.Task[None]] = set()
        self._loop: LoopThread | None = None
        self._listener: socket.socket | None = None
        self._connections = 0

    # -------------------------------------------------------------- running

    def start(self) -> Self:
        """Find the primary and listen on 127.0.0.1.

        :raises ProxyError: if the server does not answer, or requires TLS.
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
        if self._loop is not None:
            self._loop.run(self._close())
            self._loop.stop()
            self._loop = None
        errors, self._errors = self._errors, []
        for error in errors:
            raise ProxyError(f"a rule of the proxy failed: {error!r}") from error

    async def _listen(self) -> Address:
        # No asyncio.Server: in 3.13 it leaks the connections that come in the moment in which it is closed.
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)
        host, port = self._listener.getsockname()
        return Address(host, port)

    async def _close(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        await self._drop_connections()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # the client has closed it already
        self._connections += 1
        relay = asyncio.create_task(Relay(self, self._connections, connection).run())
        self._relays.add(relay)

        def ended(task: asyncio.Task[None]) -> None:
            self._relays.discard(task)
            connection.close()  # a relay that was cancelled before it began has not
            if not task.cancelled() and (error := task.exception()) is not None:
                self._errors.append(error)

        relay.add_done_callback(ended)

    async def _drop_connections(self) -> None:
        relays = list(self._relays)
        for relay in relays:
            relay.cancel()
        await asyncio.gather(*relays, return_exceptions=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _running(self) -> LoopThread:
        if self._loop is None:
            raise ProxyError(
                "the proxy is not running: use `with FaultProxy(uri) as proxy:`, or start() and stop()"
            )
        return self._loop

    @property
    def address(self) -> Address:
        """The address that the proxy listens on."""
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
        stream of hellos reconnects ten seconds after an error like PrimarySteppedDown, one that polls at once.
        """
        uri = self._upstream.at([self.address])
        return str(uri.with_default("serverMonitoringMode", "poll"))

    # -------------------------------------------------------------- looking

    @property
    def commands(self) -> list[Command]:
        """All commands so far, in the order of arrival, without those that a driver sends by itself."""
        return [command for command in self._commands if not command.monitoring]

    def count(self, *names: str) -> int:
        """Count the commands of these names so far; without a name, all of :attr:`commands`."""
        if not names:
            return len(self.commands)
        return sum(command.name in names for command in list(self._commands))

    @contextmanager
    def recording(self) -> Generator[list[Command]]:
        """Return a list to which the commands of the block are added as they arrive.

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
        """Return a block (``with`` or ``async with``) that may send at most *limit* queries.

        A query is a ``find``, ``aggregate``, ``count`` or ``distinct`` command; ``getMore`` is not counted. Leaving
        the block raises an AssertionError, which lists the commands, if there were more.
        """
        return QueryLimit(self.recording, limit)

    def admit(self, command: Command) -> Sequence[Rule]:
        """Record a command and return the rules that apply to it (called by the relays, in the proxy's thread)."""
        self._commands.append(command)
        if not command.monitoring:
            for recorder in self._recorders:
                recorder.append(command)
        return self._matching(command)

    def disconnect(self) -> None:
        """Close all connections; new ones are accepted."""
        self._running().run(self._drop_connections())

    @override
    def _end(self, rule: Rule) -> None:
        if self._loop is not None:
            self._loop.loop.call_soon_threadsafe(rule.action.end)


def find_primary(uri: MongoUri) -> Address:
    """Return the address of the server that takes writes.

    :raises ProxyError: if there is none, or it uses TLS or ``mongodb+srv://``.
    """
    if uri.tls or uri.scheme != "mongodb":
        raise ProxyError(
            f"a FaultProxy reads what passes by, so it does not support TLS or mongodb+srv:// (the URI is {uri.public!r})"
        )
    for address in uri.addresses:
        hello = ask(address, {"hello": 1})
        if hello is not None:
            if hello.get("isWritablePrimary") or "primary" not in hello:
                return address
            return Address.parse(hello["primary"])
    raise ProxyError(f"nothing answers at {uri.public!r}")

"""One connection through the proxy: frames are passed both ways, and handed to the rules that match."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from mongospec_testing.rules import Cut, Rule
from mongospec_testing.traffic import HELLO, Command
from mongospec_testing.uri import Address
from mongospec_testing.wire import HEADER, Frame, WireError, decode, encode


class Switchboard(Protocol):
    """What a relay needs of its proxy."""

    @property
    def address(self) -> Address: ...
    @property
    def target(self) -> Address: ...

    def admit(self, command: Command) -> Sequence[Rule]:
        """Record a command, and return the rules that apply to it."""
        ...


@dataclass(frozen=True)
class Exchange:
    """A command without a reply as yet."""

    command: Command
    rules: Sequence[Rule]


class Relay:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, board: Switchboard, number: int, connection: socket.socket) -> None:
        self._board = board
        self._number = number
        self._connection = connection
        self._waiting: dict[int, Exchange] = {}

    async def run(self) -> None:
        """Pass frames on until one side ends, a rule cuts, or the task is cancelled; then close both connections.

        :raises Exception: what a predicate or a rewriting function raised.
        """
        self._connection.setblocking(False)
        client_reader, client = await asyncio.open_connection(sock=self._connection)
        async with _closing(client):
            try:
                target = self._board.target
                server_reader, server = await asyncio.open_connection(target.host, target.port)
            except OSError:
                return
            async with _closing(server):
                await _until_one_ends(
                    self._requests(client_reader, client, server),
                    self._replies(server_reader, client),
                )

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        server: asyncio.StreamWriter,
    ) -> None:
        while True:
            frame = await _read(reader)
            command = Command(frame, self._number)
            if command.name in HELLO:
                frame = _without_compression(frame)
            rules = self._board.admit(command)
            answer = await _first_answer(rules, command)
            if answer is None:
                if not frame.more_to_come:
                    self._waiting[frame.request_id] = Exchange(command, rules)
                server.write(_forwarded(rules, command, frame).encode())
                await server.drain()
            elif not frame.more_to_come:
                client.write(frame.answer(answer).encode())
                await client.drain()

    async def _replies(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while True:
            frame = await _read(reader)
            exchange = self._waiting.pop(frame.response_to, None)
            if exchange is not None:
                if frame.more_to_come:
                    # More replies follow. MongoDB lets each name the reply before it, others the request.
                    self._waiting[frame.request_id] = self._waiting[frame.response_to] = exchange
                try:
                    frame = await self._treated(exchange, frame)
                except Cut as cut:
                    if cut.halfway:
                        data = frame.encode()
                        client.write(data[: len(data) // 2])
                        await client.drain()
                    raise
            client.write(frame.encode())
            await client.drain()

    async def _treated(self, exchange: Exchange, frame: Frame) -> Frame:
        original = document = frame.document()
        if exchange.command.name in HELLO:
            document = _naming(self._board.address, document)
        for rule in exchange.rules:
            document = await rule.action.reply(exchange.command, document)
        return frame if document is original else frame.with_document(document)


async def _until_one_ends(*pumps: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.create_task(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        # The end of a connection is not an error.
        if isinstance(outcome, Exception) and not isinstance(outcome, OSError | EOFError):
            raise outcome


async def _first_answer(rules: Sequence[Rule], command: Command) -> bytes | None:
    for rule in rules:
        answer = await rule.action.request(command)
        if answer is not None:
            return answer
    return None


def _forwarded(rules: Sequence[Rule], command: Command, frame: Frame) -> Frame:
    for rule in rules:
        document = frame.document()
        forwarded = rule.action.forwarded(command, document)
        if forwarded is not document:
            frame = frame.with_document(forwarded)
    return frame


async def _read(reader: asyncio.StreamReader) -> Frame:
    size, request_id, response_to, op_code = HEADER.unpack(await reader.readexactly(HEADER.size))
    if size < HEADER.size:
        raise WireError("a message that is shorter than its header")
    return Frame(request_id, response_to, op_code, await reader.readexactly(size - HEADER.size))


@asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncGenerator[None]:
    """Close a connection: with what is still to be sent when it just ended, at once when it was cut."""
    try:
        with suppress(OSError):
            yield
            writer.close()
            await writer.wait_closed()
    except Cut:
        pass
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


def _without_compression(frame: Frame) -> Frame:
    """Keep client and server from agreeing on compression: what the proxy cannot read it cannot count."""
    body = decode(frame.document())
    return (
        frame.with_document(encode({**body, "compression": []})) if "compression" in body else frame
    )


def _naming(address: Address, document: bytes) -> bytes:
    """A replica set's hello names its members; drivers go there, so it has to name the proxy instead."""
    body = decode(document)
    if "setName" not in body:
        return document
    name = str(address)
    body.update({"hosts": [name], "passives": [], "arbiters": []})
    body.update({key: name for key in ("me", "primary") if key in body})
    return encode(body)

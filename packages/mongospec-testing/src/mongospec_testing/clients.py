"""mongojet clients for synchronous code. They belong to no event loop: made in one, used in any."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager, suppress

import mongojet

from mongospec_testing.loop_thread import LoopThread

# After close() the driver's threads finish in the background; a process that ends before they have is aborted.
SETTLE_SECONDS = 0.03
# close() waits for the driver's monitors, and they for a server that does not answer.
CLOSE_SECONDS = 5.0


class ClientFactory:
    """Make clients, close each of them, and drop databases through a client of its own.

    :param uri: the server whose databases it drops.
    """

    def __init__(self, uri: str, loop: LoopThread) -> None:
        self._uri = uri
        self._loop = loop
        self._own: mongojet.Client | None = None

    @contextmanager
    def client(self, uri: str) -> Generator[mongojet.Client]:
        """Yield a client, closed on leaving even if its user has closed it."""
        client = self._loop.run(mongojet.create_client(uri))
        try:
            yield client
        finally:
            self._loop.run(_close(client))

    def drop_database(self, name: str) -> None:
        """Drop a database; the clients handed out may be closed."""
        self._loop.run(self._drop(name))

    async def _drop(self, name: str) -> None:
        if self._own is None:
            self._own = await mongojet.create_client(self._uri)
        try:
            await self._own[name].drop()
        except mongojet.PyMongoError:  # the server had closed an idle connection
            await self._own[name].drop()

    def close(self) -> None:
        """Close the factory's own client, and wait until all are really gone."""
        self._loop.run(self._close())

    async def _close(self) -> None:
        if self._own is not None:
            await _close(self._own)
        await asyncio.sleep(SETTLE_SECONDS)


async def _close(client: mongojet.Client) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()

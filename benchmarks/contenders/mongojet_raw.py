"""mongojet with plain dictionaries: what the others are compared with."""

import asyncio
from typing import Any

import mongojet

from benchmarks.contenders.dictionaries import Dictionaries
from benchmarks.data import Raw


class Contender(Dictionaries):
    async def bind(self, db: mongojet.Database) -> None:
        self.client = db.client
        self.use(db)

    async def open(self, uri: str) -> None:
        client = await mongojet.create_client(uri)
        await self.bind(client["bench"])

    async def close(self) -> None:
        await self.client.close()
        await asyncio.sleep(0.05)  # the driver's threads end

    def find_list(self, collection: mongojet.Collection, filter: Raw) -> Any:
        return collection.find_many(filter)

    async def cursor(self) -> tuple[int, Any]:
        count, each = 0, None
        async for each in await self.people.find({}):  # noqa: B007
            count += 1
        return count, each

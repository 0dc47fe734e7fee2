"""PyMongo's asynchronous API with plain dictionaries."""

from typing import Any

from pymongo import AsyncMongoClient

from benchmarks.contenders.dictionaries import Dictionaries
from benchmarks.data import Raw


class Contender(Dictionaries):
    async def open(self, uri: str) -> None:
        self.client: AsyncMongoClient[Raw] = AsyncMongoClient(uri, tz_aware=True)
        self.use(self.client["bench"])

    async def close(self) -> None:
        await self.client.close()

    def find_list(self, collection: Any, filter: Raw) -> Any:
        return collection.find(filter).to_list()

    async def cursor(self) -> tuple[int, Any]:
        count, each = 0, None
        async for each in self.people.find({}):  # noqa: B007
            count += 1
        return count, each

"""A key-value store in a collection: settings, counters, typed items."""

import asyncio
import os
from datetime import UTC, datetime, timedelta

import msgspec

import mongospec
from mongospec import MongoDocument
from mongospec.contrib.kv_store import KVStore, KVStoreItem

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Document(MongoDocument, abstract=True):
    """A base of one's own: entries of the store have its fields as well."""

    created_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))


class AppStorage(KVStore, Document):
    __collection_name__ = "app_storage"


AppStorageItem = KVStoreItem.of(AppStorage)

max_retries = AppStorageItem[int]("max_retries", default=3)
session_length = AppStorageItem[timedelta]("session_length")


async def main() -> None:
    async with mongospec.connect(
        URI, document_types=[AppStorage], database="mongospec_key_value_store"
    ):
        await AppStorage.clear()

        await AppStorage.set("theme", "dark")
        print("get:", await AppStorage.get("theme"))
        print("get_or_default:", await AppStorage.get_or_default("language", "en"))
        try:
            await AppStorage.get("language")
        except KeyError as error:
            print("No such key:", error)

        print("set_default does not overwrite:", await AppStorage.set_default("theme", "light"))

        await AppStorage.set_many({"a": 1, "b": [1, 2, 3]})
        print("get_many:", await AppStorage.get_many(["a", "b", "c"]))
        print("keys:", await AppStorage.keys())
        print("delete_keys:", await AppStorage.delete_keys(["a", "c"]))

        # 40 at once: none is lost
        await asyncio.gather(*(AppStorage.increment("visits") for _ in range(40)))
        visits = await AppStorage.get("visits")
        print("increment:", visits)

        # An item knows its key, its type and its default; what is read is checked.
        print("Its default, which is not stored:", await max_retries.get())
        await max_retries.set(10)
        print("Stored:", await max_retries.get())
        print("Not there, without a default:", await session_length.get())
        await AppStorage.set("max_retries", "many")
        try:
            await max_retries.get()
        except mongospec.StoredValueError as error:
            print("Of the wrong type:", error)
        print("delete:", await max_retries.delete(), await max_retries.has())
        await session_length.set(timedelta(hours=8))
        print("A value of any type that documents take:", await session_length.get())

        stored = await AppStorage.get_all()
        print("get_all:", stored)

    print(f"{len(stored)} settings are stored; {visits} visits were counted.")


if __name__ == "__main__":
    asyncio.run(main())

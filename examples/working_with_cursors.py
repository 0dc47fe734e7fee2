"""Read large results batch by batch: memory holds a batch, not the result."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Reading(MongoDocument):
    __collection_name__ = "readings"

    sensor: int
    value: float


async def main() -> None:
    async with mongospec.connect(
        URI, document_types=[Reading], database="mongospec_working_with_cursors"
    ) as database:
        await Reading.delete_many({})
        await Reading.insert_many(
            [Reading(sensor=number % 10, value=number / 7) for number in range(10_000)]
        )

        # One by one. The cursor asks the server for 1,000 documents at a time.
        total = 0
        async for _ in Reading.find({"sensor": {"$lt": 5}}):
            total += 1
        print("One by one:", total)

        # In batches of one's own size: for what works on many at once.
        sizes = [len(batch) async for batch in Reading.find(batch_size=4_000).batches()]
        print("In batches:", sizes)

        # Some, then more: a cursor continues with the next document.
        cursor = Reading.find(sort=[("value", -1)])
        first = await cursor.to_list(20)
        second = await cursor.to_list(20)
        print(
            "The 20 largest end at", round(first[-1].value), "the next at", round(second[-1].value)
        )
        await cursor.close()

        # Leaving early is fine; `async with` closes the server's cursor at once.
        async with Reading.find({"sensor": 3}) as found:
            async for reading in found:
                if reading.value > 100:
                    print("The first of sensor 3 over 100:", round(reading.value, 1))
                    break

        # A stored document that does not fit its class stops the reading with an error that names
        # it, unless the reader is told what to do with such documents.
        await database["readings"].insert_one({"sensor": "broken", "value": 1.0})
        try:
            await Reading.find({"value": 1.0}).to_list()
        except mongospec.DocumentValidationError as error:
            print("Stopped:", error)

        bad: list[Any] = []

        def note(failure: mongospec.InvalidDocument, raw: Mapping[str, Any]) -> None:
            bad.append((failure.path, raw["sensor"]))

        good = await Reading.find({"value": {"$lte": 1}}, on_invalid=note).to_list()
        print(f"Noted {bad}, read the other {len(good)}")

    print(f"{total} readings were read one by one, {sum(sizes)} in {len(sizes)} batches.")


if __name__ == "__main__":
    asyncio.run(main())

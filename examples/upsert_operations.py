"""Insert or update in one step: save(upsert=True), update_one(upsert=True), insert unless there."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

from mongojet import IndexModel

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Device(MongoDocument):
    __collection_name__ = "devices"
    __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel("serial", unique=True)]

    serial: str
    firmware: str = "1.0"
    first_seen: datetime | None = None
    reports: int = 0


async def main() -> None:
    async with mongospec.connect(
        URI, document_types=[Device], database="mongospec_upsert_operations"
    ):
        await Device.delete_many({})

        # By _id: the whole document, whether it is there or not.
        device = await Device(serial="A").insert()
        await device.delete()
        try:
            await device.save()
        except mongospec.DocumentNotFoundError as error:
            print("save() alone does not insert:", error)
        await device.save(upsert=True)
        print("save(upsert=True):", await Device.find_by_id(device.id))

        # By any filter, with update operators.
        for _ in range(3):
            result = await Device.update_one(
                {"serial": "B"},
                {
                    "$inc": {"reports": 1},
                    "$setOnInsert": {"firmware": "1.0", "first_seen": datetime.now(UTC)},
                },
                upsert=True,
            )
            print("update_one(upsert=True):", result)

        # The same, and the document comes back.
        updated = await Device.find_one_and_update(
            {"serial": "B"}, {"$set": {"firmware": "1.1"}}, upsert=True
        )
        print("find_one_and_update(upsert=True):", updated)

        # A whole document, unless there is one.
        print(await Device.insert_if_not_exists(Device(serial="B"), {"serial": "B"}))
        print(await Device.insert_if_not_exists(Device(serial="C"), {"serial": "C"}))

        serials = [each.serial for each in await Device.find_all(sort="serial")]

    print(f"The devices {serials} are there, each once.")


if __name__ == "__main__":
    asyncio.run(main())

"""Many writes at once: insert, save, update and delete in few commands."""

import asyncio
import os

from pymongo import DeleteMany, InsertOne, UpdateMany, UpdateOne

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Item(MongoDocument):
    __collection_name__ = "items"

    sku: int
    stock: int = 0
    discontinued: bool = False


async def main() -> None:
    async with mongospec.connect(URI, document_types=[Item], database="mongospec_batch_operations"):
        await Item.delete_many({})

        ids = await Item.insert_many([Item(sku=number) for number in range(1_000)])
        print("insert_many:", len(ids))

        changed = await Item.update_many({"sku": {"$lt": 500}}, {"$inc": {"stock": 5}})
        print("update_many:", int(changed))

        # save_many: each document's own changes, all in one command.
        items = await Item.find_all({"sku": {"$gte": 900}})
        for item in items:
            item.stock = item.sku - 900
        saved = await Item.save_many(items)
        print("save_many:", saved.modified_count, "of", len(items), "(one of them had no change)")

        # bulk_write: operations of all kinds, carried out in their order. What is inserted
        # is read as an Item: defaults are filled in, and a dict that is none is refused.
        result = await Item.bulk_write(
            [
                InsertOne({"sku": 1_000, "stock": 1}),
                UpdateOne({"sku": 0}, {"$set": {"stock": 100}}),
                UpdateMany({"stock": 0}, {"$set": {"discontinued": True}}),
                DeleteMany({"discontinued": True}),
            ]
        )
        print("bulk_write:", result)

        # One that fails is named; with ordered=False the others are carried out all the same.
        double = {"_id": ids[1], "sku": 1}
        try:
            await Item.bulk_write([InsertOne(double), InsertOne({"sku": 2_000})], ordered=False)
        except mongospec.BulkWriteError as error:
            print("Failed:", [(each.index, each.code) for each in error.failures])
            print("Done:", error.results.inserted_count)

        deleted = await Item.delete_many({})

    print(f"{result.deleted_count} items were deleted in the bulk, {deleted} at the end.")


if __name__ == "__main__":
    asyncio.run(main())

"""Count documents: exactly, by an estimate, and whether there is one at all."""

import asyncio
import os

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Visit(MongoDocument):
    __collection_name__ = "visits"

    path: str
    seconds: int


async def main() -> None:
    async with mongospec.connect(URI, document_types=[Visit], database="mongospec_count_documents"):
        await Visit.delete_many({})
        await Visit.insert_many(
            [
                Visit(path="/" if number % 3 else "/about", seconds=number % 60)
                for number in range(3_000)
            ]
        )

        print("All of them:", await Visit.count())
        about = await Visit.count({"path": "/about"})
        print("Those that match:", about)
        print("The driver's name for it:", await Visit.count_documents({"path": "/about"}))

        # Exact counting reads what it counts. If "more than 100" is enough, set a limit.
        print("More than 100:", await Visit.count({"path": "/"}, limit=101) > 100)

        # From the collection's metadata: fast whatever its size, not exact on a sharded cluster
        # or after a crash, and without a filter.
        print("Estimated:", await Visit.estimated_document_count())

        print("Is there any?", await Visit.exists({"seconds": {"$gte": 59}}))
        print("And one of an hour?", await Visit.exists({"seconds": 3_600}))

    print(f"{about} of 3000 visits were to /about.")


if __name__ == "__main__":
    asyncio.run(main())

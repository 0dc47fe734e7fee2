"""Delete documents: one, by id, by filter, many, and one that is handed over."""

import asyncio
import os

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Job(MongoDocument):
    __collection_name__ = "jobs"

    name: str
    state: str = "waiting"


async def main() -> None:
    async with mongospec.connect(URI, document_types=[Job], database="mongospec_delete_documents"):
        await Job.delete_many({})
        jobs = [Job(name=f"job {number}") for number in range(10)]
        jobs[8].state = jobs[9].state = "done"
        await Job.insert_many(jobs)

        print("delete() of a document:", await jobs[0].delete())
        print("The same again:", await jobs[0].delete())

        print("delete_by_id:", await Job.delete_by_id(jobs[1].id))
        print("delete_one:", await Job.delete_one({"name": "job 2"}))
        print("delete_many:", await Job.delete_many({"state": "done"}))

        # Take a job and remove it in one step: of many workers, one gets it.
        taken = await Job.find_one_and_delete({"state": "waiting"}, sort="name")
        assert taken is not None
        print("find_one_and_delete:", taken.name)

        try:
            await Job(name="never stored").delete()
        except mongospec.MissingIdError as error:
            print("Refused:", error)

        jobs[0].state = "done"
        try:
            await jobs[0].save()
        except mongospec.DocumentNotFoundError as error:
            print("Gone:", error)

        left = await Job.count()

    print(f"{left} of 10 jobs are left.")


if __name__ == "__main__":
    asyncio.run(main())

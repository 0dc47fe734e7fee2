"""Change documents: save what changed, update by operators, by id, in one step, by version."""

import asyncio
import os

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class Article(MongoDocument):
    __collection_name__ = "articles"

    title: str
    views: int = 0
    tags: list[str] = []
    version: int = 1


async def main() -> None:
    async with mongospec.connect(
        URI, document_types=[Article], database="mongospec_update_documents"
    ):
        await Article.delete_many({})
        tea = await Article(title="Tea").insert()
        await Article.insert_many([Article(title="Coffee"), Article(title="Cocoa")])

        # save() sends the fields that changed, so another writer's change to other fields survives
        await Article.update_by_id(tea.id, {"$set": {"views": 10}})
        tea.title = "Green tea"
        print("save() will send:", mongospec.changes(tea))
        await tea.save()
        print("Both changes are there:", await Article.find_by_id(tea.id))

        result = await Article.update_one({"title": "Coffee"}, {"$addToSet": {"tags": "hot"}})
        print("update_one:", result)

        changed = await Article.update_many({}, {"$inc": {"views": 1}})
        print("update_many changed", int(changed), "articles")

        # Find and change in one step: no other writer comes in between.
        read = await Article.find_one_and_update({"title": "Cocoa"}, {"$inc": {"views": 1}})
        assert read is not None
        print("find_one_and_update returns the article afterwards:", read.views, "views")

        # A pipeline computes from the document's own fields.
        await Article.update_many({}, [{"$set": {"title": {"$toUpper": "$title"}}}])
        print("A pipeline:", await Article.distinct("title"))

        # By version: the change is made only to the version that was read.
        updated = await Article.update_one(
            {"_id": tea.id, "version": tea.version},
            {"$set": {"title": "White tea"}, "$inc": {"version": 1}},
        )
        late = await Article.update_one(
            {"_id": tea.id, "version": tea.version},
            {"$set": {"title": "Black tea"}, "$inc": {"version": 1}},
        )
        print(f"The first change by version: {int(updated)}, a late one: {int(late)}")

        try:
            await Article.update_one({"_id": tea.id}, {"title": "Oops"})
        except mongospec.OptionError as error:
            print("Refused:", error)

        final = await Article.find_by_id(tea.id)
        assert final is not None

    print(
        f"The article is called {final.title!r}, has {final.views} views, version {final.version}."
    )


if __name__ == "__main__":
    asyncio.run(main())

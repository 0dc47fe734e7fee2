"""The work of a driver with plain dictionaries; what mongojet and PyMongo call the same."""

from typing import Any

from benchmarks.data import Raw


class Dictionaries:
    def use(self, db: Any) -> None:
        self.people, self.authors, self.tags = db["people"], db["authors"], db["tags"]
        self.articles = {"posts": db["posts"], "albums": db["albums"]}

    async def find_list(self, collection: Any, filter: Raw) -> list[Raw]:
        raise NotImplementedError

    # -- people

    def make(self, raw: Raw) -> Raw:
        return raw

    def plain(self, document: Raw) -> Raw:
        return document

    def find_one(self, identity: Any) -> Any:
        return self.people.find_one({"_id": identity})

    def insert_one(self, document: Raw) -> Any:
        return self.people.insert_one(document)

    def update_one(self, identity: Any, values: Raw) -> Any:
        return self.people.update_one({"_id": identity}, {"$set": values})

    def save(self, document: Raw, name: str, age: int) -> Any:
        document["name"], document["age"] = name, age
        return self.people.update_one(
            {"_id": document["_id"]}, {"$set": {"name": name, "age": age}}
        )

    def insert_many(self, documents: list[Raw]) -> Any:
        return self.people.insert_many(documents)

    insert_many_unchecked = insert_many

    async def find_all(self) -> list[Raw]:
        return await self.find_list(self.people, {})

    # -- references

    async def find_articles(self, collection: str) -> list[Raw]:
        found = await self.find_list(self.articles[collection], {})
        author_ids = {each["author"] for each in found}
        tag_ids = {each for article in found for each in article["tags"]}
        author_list = await self.find_list(self.authors, {"_id": {"$in": list(author_ids)}})
        tag_list = await self.find_list(self.tags, {"_id": {"$in": list(tag_ids)}})
        authors = {each["_id"]: each for each in author_list}
        tags = {each["_id"]: each for each in tag_list}
        for each in found:
            each["author"] = authors[each["author"]]
            each["tags"] = [tags[identity] for identity in each["tags"]]
        return found

    def plain_article(self, document: Raw) -> Raw:
        return document

    def save_title(self, document: Raw, title: str) -> Any:
        document["title"] = title
        collection = self.articles["albums"]
        return collection.update_one({"_id": document["_id"]}, {"$set": {"title": title}})

    async def cascade(self, document: Raw, title: str) -> None:
        await self.authors.update_one({"_id": document["author"]["_id"]}, {"$set": {"name": title}})
        for each in document["tags"]:
            await self.tags.update_one({"_id": each["_id"]}, {"$set": {"label": title}})
        posts = self.articles["posts"]
        await posts.update_one({"_id": document["_id"]}, {"$set": {"title": title}})

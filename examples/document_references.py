"""References: a field typed as a document class is stored as its id and read back as the document."""

import asyncio
import os

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")


class User(MongoDocument):
    __collection_name__ = "users"

    name: str
    city: str = ""


class Tag(MongoDocument):
    __collection_name__ = "tags"

    label: str


class Post(MongoDocument):
    __collection_name__ = "posts"

    title: str
    author: User  # required
    reviewer: User | None = None  # optional
    tags: list[Tag] = []
    answer_to: "Post | None" = None  # its own class


async def find(title: str) -> Post:
    post = await Post.find_one({"title": title})
    assert post is not None
    return post


async def main() -> None:
    async with mongospec.connect(
        URI, document_types=[User, Tag, Post], database="mongospec_document_references"
    ) as database:
        for cls in (User, Tag, Post):
            await cls.delete_many({})

        # -- write: pass the documents themselves
        alice = await User(name="Alice").insert()
        python = await Tag(label="python").insert()
        await Post(title="Hello", author=alice, tags=[python]).insert()
        print("Stored as ids:", await database["posts"].find_one({"title": "Hello"}))

        # -- read: references are resolved, one query for each class and level
        post = await find("Hello")
        print("Read back:", post.author.name, [tag.label for tag in post.tags])

        # -- search by a document
        print("By its author:", await Post.count({"author": alice}))

        # -- skip it if it is not needed; the ids are there all the same
        bare = await Post.find_one({"title": "Hello"}, resolve_refs=False)
        assert bare is not None
        assert bare.author.id == alice.id
        try:
            print(bare.author.name)
        except mongospec.UnresolvedReferenceError as error:
            print("Not read:", error)
        await bare.author.fetch()
        print("Fetched:", bare.author.name)

        # -- save: the post and the referenced documents that changed
        post.title = "Hello again"
        post.author.city = "Rome"
        await post.save()
        print("Saved with it:", await User.find_by_id(alice.id))

        # -- an unsaved reference is refused before anything is sent
        answer = Post(
            title="Answer",
            author=User(name="Bob"),
            tags=[Tag(label="async"), python],
            answer_to=post,
        )
        try:
            await answer.insert()
        except mongospec.UnsavedReferenceError as error:
            print("Refused:", error)

        # -- insert_recursive() inserts what is new, references first
        result = await answer.insert_recursive()
        print("Inserted:", [type(document).__name__ for document in result.created_documents])
        print("Answer to:", (await find("Answer")).answer_to)

        print("Taken back:", await result.rollback(), "documents")
        print("Posts left:", await Post.count())

        # -- if a referenced document is gone, the post can still be read and saved
        await alice.delete()
        post = await find("Hello again")
        try:
            print(post.author.name)
        except mongospec.MissingReferenceError as error:
            print("Gone:", error)
        post.title = "An orphan"
        await post.save()

        # -- a reference by id, without the document
        bob = await User(name="Bob").insert()
        post.author = User.ref(str(bob.id))
        await post.save()
        post = await find("An orphan")

    print(f"{post.title!r} is by {post.author.name} now and has the tag {post.tags[0].label!r}.")


if __name__ == "__main__":
    asyncio.run(main())

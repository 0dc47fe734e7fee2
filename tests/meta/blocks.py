"""The code that the package's users know from its documentation, line by line as they write it."""

QUICK_START = """
import asyncio
from datetime import datetime
from typing import ClassVar, Sequence
import mongojet
import msgspec
import mongospec
from mongospec import MongoDocument
from mongojet import IndexModel

class User(MongoDocument):
    __collection_name__ = "users"
    __indexes__: ClassVar[Sequence[IndexModel]] = [
        IndexModel(keys=[("email", 1)], options={"unique": True})
    ]

    name: str
    email: str
    created_at: datetime = msgspec.field(default_factory=datetime.now)

async def main() -> None:
    client = await mongojet.create_client("mongodb://localhost:27017")
    await mongospec.init(client.get_database("example_db"), document_types=[User])

    user = User(name="Alice", email="alice@example.com")
    await user.insert()
    print("Inserted:", user)

    fetched = await User.find_one({"email": "alice@example.com"})
    print("Fetched:", fetched)

    await fetched.delete()
    await mongospec.close()

if __name__ == "__main__":
    asyncio.run(main())
"""

REFERENCES = """
from mongospec import MongoDocument

class User(MongoDocument):
    name: str

class Tag(MongoDocument):
    label: str

class Post(MongoDocument):
    title: str
    author: User  # required reference
    reviewer: User | None = None  # optional
    tags: list[Tag] = []  # list of references
"""
CREATE = """
post = Post(title="Hello", author=user, tags=[tag])
await post.insert()
"""
READ = """
post = await Post.find_one({"title": "Hello"})
print(post.author.name)
"""
READ_MANY = """
posts = await Post.find_all({})
"""
READ_UNRESOLVED = """
post = await Post.find_one({"title": "Hello"}, resolve_refs=False)
"""
CASCADE = """
post.author.name = "Updated"
await post.save()
"""
RECURSIVE_INSERT = """
result = await Post(
    title="Hello",
    author=existing_user,
    tags=[Tag(label="python"), Tag(label="async")],
).insert_recursive()
print([type(doc).__name__ for doc in result.created_documents])
"""
ROLLBACK = """
await result.rollback()
"""

DISCOVERY = """
from mongospec.utils import collect_document_types

document_types = collect_document_types("myapp.db.models")
await mongospec.init(db, document_types=document_types)
"""
DISCOVERY_WITH_OPTIONS = """
from mongospec.utils import collect_document_types

models = collect_document_types(
    "myapp.db.models",
    ignore_abstract=True,
    local_only=True,
    on_error="warn",
)
await mongospec.init(db, document_types=models)
"""

DOCUMENT_WITH_HOOKS = """
from datetime import datetime, UTC
from typing import Any
import msgspec
from mongospec import MongoDocument

class Document(MongoDocument):
    created_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))

    def __pre_save__(self) -> None:
        self.updated_at = datetime.now(UTC)

    @classmethod
    def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
        update.setdefault("$set", {}).setdefault("updated_at", datetime.now(UTC))
        return update
"""

KV_STORE = """
from mongospec.contrib.kv_store import KVStore, KVStoreItem
from myapp.db import Document

class AppStorage(KVStore, Document):
    __collection_name__ = "app_storage"
"""
KV_DIRECT = """
await AppStorage.set("theme", "dark")
theme = await AppStorage.get("theme")
default = await AppStorage.get_or_default("x", 0)
kept = await AppStorage.set_default("theme", "light")
await AppStorage.set_many({"a": 1, "b": 2})
all_pairs = await AppStorage.get_all()
all_keys = await AppStorage.keys()
there = await AppStorage.has("theme")
deleted = await AppStorage.delete_key("theme")
"""
KV_ITEM = """
AppStorageItem = KVStoreItem.of(AppStorage)

max_retries = AppStorageItem[int]("max_retries", default=3)
value = await max_retries.get()
stored_before = await max_retries.has()
await max_retries.set_default()
stored = await AppStorage.get("max_retries")
await max_retries.set(10)
there = await max_retries.has()
deleted = await max_retries.delete()
"""

"""What type checkers know of references. Read by them, never run."""

from typing import Annotated, Any, assert_type

import msgspec
from bson import ObjectId
from fastapi import Body
from pydantic import BaseModel

from mongospec_core import BulkResult, Cursor, ForPydantic, Page, PydanticObjectId
from mongospec_refs import (
    CascadeSaveError,
    MongoDocument,
    RecursiveInsertError,
    RecursiveInsertResult,
    UnresolvedReferenceError,
    UnsavedReferenceError,
    is_resolved,
    to_builtins,
)


class User(MongoDocument):
    name: str


class Tag(MongoDocument):
    label: str


class Post(MongoDocument):
    title: str
    author: User
    reviewer: User | None = None
    tags: list[Tag] = []
    by_name: dict[str, User] = {}


class Animal(MongoDocument, tag_field="kind", tag="animal"):
    name: str


class Dog(Animal, tag="dog"):
    breed: str = "mutt"


class Home(MongoDocument):
    pet: Animal


async def families(dog: Dog) -> None:
    home = Home(pet=dog)
    home.pet = await home.pet.fetch()
    assert_type(home.pet, Animal)
    assert_type(Animal.ref(1), Animal)
    if isinstance(home.pet, Dog):
        assert_type(home.pet, Dog)


class Card(msgspec.Struct):
    title: str
    author: User


async def reads() -> None:
    post = await Post.find_one({"title": "Hello"})
    assert_type(post, Post | None)
    _ = post.author  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    assert post is not None
    assert_type(post.author, User)
    assert_type(post.author.name, str)
    assert_type(post.reviewer, User | None)
    assert_type([each.label for each in post.tags], list[str])
    assert_type(post.by_name["x"].name, str)
    assert_type(await Post.find_one({}, resolve_refs=False), Post | None)
    assert_type(await Post.find_by_id("65f0c0ffee65f0c0ffee0001", ref_depth=2), Post | None)
    assert_type(await Post.get_one({"title": "Hello"}, resolve_refs=False), Post)
    assert_type((await Post.get_by_id("65f0c0ffee65f0c0ffee0001", ref_depth=2)).author.name, str)
    assert_type(await Post.get_one({}, projection=Card, ref_depth=1), Card)
    assert_type(await Post.get_one({}, projection={"title": 1}), dict[str, Any])
    assert_type(await Post.page({"title": "Hello"}, ref_depth=1), Page[Post])
    assert_type(await Post.page(projection=Card, resolve_refs=False), Page[Card])
    assert_type(await post.reload(resolve_refs=False), Post)
    assert_type(await post.author.reload(ref_depth=1, timeout=1.0), User)
    assert_type(await Post.find_all(resolve_refs=False, sort="title"), list[Post])
    cursor = Post.find({"author": post.author}, ref_depth=1, batch_size=10)
    _ = assert_type(await cursor, Cursor[Post])
    async for each in Post.find(resolve_refs=False):
        assert_type(each, Post)
    assert_type(await Post.find_one_and_update({}, {"$set": {}}, resolve_refs=False), Post | None)
    assert_type(await Post.find_one_and_replace({}, post, resolve_refs=False), Post | None)
    assert_type(await Post.find_one_and_delete({}, ref_depth=0), Post | None)


async def projections() -> None:
    assert_type(await Post.find_all(projection=Card, resolve_refs=False), list[Card])
    assert_type(await Post.find_one(projection=Card, ref_depth=1), Card | None)
    cards = Post.find(projection=Card)
    _ = assert_type(cards, Cursor[Card])
    assert_type(await Post.find_all(projection={"title": 1}), list[dict[str, Any]])


async def references(post: Post) -> None:
    assert_type(User.ref("65f0c0ffee65f0c0ffee0001"), User)
    assert_type(await post.author.fetch(), User)
    assert_type(await post.author.fetch(ref_depth=1, timeout=1.0), User)
    assert_type(is_resolved(post.author), bool)
    assert_type(to_builtins(post, refs="id"), Any)
    Post(title="x", author=User.ref(1), tags=[Tag(label="t")])


class Order(BaseModel):
    post: Post
    cards: list[Annotated[Card, ForPydantic]] = []
    id: PydanticObjectId | None = None


async def handler(post: Annotated[Post, Body()], id: PydanticObjectId) -> Page[Post]:
    assert_type(id, ObjectId)
    assert_type(Order(post=post).post.author.name, str)
    assert_type(Order(post=post).cards, list[Card])
    assert_type(Order(post=post).id, ObjectId | None)
    Order(post=id)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return await Post.page()


async def writes(post: Post) -> None:
    assert_type(await post.save(), Post)
    assert_type(await post.save(save_refs=False, upsert=True, comment="why"), Post)
    assert_type(await Post.save_many([post], save_refs=False), BulkResult)
    result = await post.insert_recursive()
    assert_type(result, RecursiveInsertResult[Post])
    assert_type(result.document, Post)
    assert_type(result.created_documents, list[Any])
    assert_type(await result.rollback(), int)
    assert_type(await Post.insert_one_recursive(post), RecursiveInsertResult[Post])


def errors(
    unresolved: UnresolvedReferenceError,
    unsaved: UnsavedReferenceError,
    cascade: CascadeSaveError,
    recursive: RecursiveInsertError,
) -> None:
    assert_type(unresolved.reference, Any)
    assert_type(unsaved.path, str)
    assert_type(cascade.written, list[Any])
    assert_type(recursive.unknown, list[Any])


async def misuse(post: Post) -> None:
    await Post.find_all(resolve_refs="no")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await Post.find_one({}, resolve_refs="no")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await Post.get_by_id(1, resolve_refs="no")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await post.reload(ref_depth="all")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Post.find(ref_depth="all")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await Post.find_one_and_delete({}, resolve_refs=1.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await Post.find_all(resolve=False)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await post.save(save_ref=False)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await post.save(save_refs="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await post.insert(save_refs=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Post(title="x", author=Tag(label="t"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Post(title="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Post(title="x", author=User.ref(1), tags=[post])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    _ = post.author.nmae  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
    to_builtins(post, refs="ids")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    is_resolved("post")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await Post.insert_one_recursive(post.author)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

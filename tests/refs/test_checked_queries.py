"""Queries against a class with references: an id stands there, and nothing is below it."""

from inspect import getattr_static, signature
from typing import Any

import msgspec
import pytest
from bson import ObjectId

from mongospec_core import DocumentValidationError, FilterValueError, UnknownFieldError
from mongospec_refs import MongoDocument
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.test_checked_queries import takers
from tests.zoo.blog import BLOG, Byline, Person, Post, Tag, User


class Slug(MongoDocument):
    _id: str = ""


class Key(msgspec.Struct, frozen=True):
    name: str


class Keyed(MongoDocument):
    _id: Key | None = None


class Shelf(MongoDocument):
    byline: Byline | None = None
    users: list[User] = []
    by_name: dict[str, User] = {}
    pair: tuple[User, int] | None = None
    slug: Slug | None = None
    keyed: Keyed | None = None


EVERYTHING = (*BLOG, Person, Slug, Keyed, Shelf)


async def test_a_reference_is_compared_with_ids_and_documents(bind: Bind) -> None:
    await bind(*EVERYTHING)
    user, tag = await User(name="u").insert(), await Tag(label="t").insert()
    post = await Post(title="p", author=user, tags=[tag]).insert()
    shelf = await Shelf(
        byline=Byline(user), users=[user], by_name={"u": user}, pair=(user, 1), slug=Slug(_id="s")
    ).insert()
    for filter in (  # noqa: A001
        {"author": user},
        {"author": user.id},
        {"author": User.ref(user.id)},
        {"author": {"$in": [user, user.id, None]}},
        {"author": {"$ne": ObjectId()}},
        {"reviewer": None},
        {"tags": tag},
        {"tags": tag.id},
        {"tags": [tag]},
        {"tags.0": tag},
        {"tags": {"$all": [tag]}},
        {"tags": {"$elemMatch": {"$in": [tag.id]}}},
    ):
        assert [each.id for each in await Post.find_all(filter)] == [post.id], filter
    for filter in (  # noqa: A001
        {"byline.author": user},
        {"users": user.id},
        {"by_name.u": user},
        {"pair.0": user},
        {"slug": "s"},
        {"slug": Slug.ref("s")},
        {"keyed": None},
    ):
        assert [each.id for each in await Shelf.find_all(filter)] == [shelf.id], filter
    await Shelf.find_all({"keyed.name": "a", "keyed": Key("a")})


@pytest.mark.parametrize(
    ("cls", "filter", "path"),
    [
        (Post, {"author": "65f0c0ffee65f0c0ffee0001"}, "author"),
        (Post, {"author": {"$in": ["text"]}}, "author"),
        (Post, {"author": 5}, "author"),
        (Post, {"tags": "text"}, "tags"),
        (Shelf, {"slug": ObjectId()}, "slug"),
        (Shelf, {"users": ["text"]}, "users"),
    ],
)
async def test_what_is_no_id_of_the_class_is_refused(
    bind: Bind, mongo_proxy: FaultProxy, cls: Any, filter: dict[str, Any], path: str
) -> None:
    await bind(*EVERYTHING)
    with mongo_proxy.recording() as seen, pytest.raises(FilterValueError) as caught:
        await cls.find_all(filter)
    assert seen == []
    assert caught.value.path == path
    if path == "author" and isinstance(filter["author"], str):
        assert "ObjectId('65f0" in str(caught.value)


async def test_a_document_of_another_class_is_refused(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(*EVERYTHING)
    user, tag = await User(name="u").insert(), await Tag(label="t").insert()
    wrong: list[tuple[Any, Any, str]] = [
        (Post, {"author": tag}, "author"),
        (Post, {"author": Tag.ref(tag.id)}, "author"),
        (Post, {"author": {"$in": [user, tag]}}, "author"),
        (Post, {"tags": user}, "tags"),
        (Post, {"tags": [tag, user]}, "tags"),
        (Shelf, {"byline.author": tag}, "byline.author"),
        (Shelf, {"by_name.x": tag}, "by_name.x"),
    ]
    with mongo_proxy.recording() as seen:
        for cls, filter, path in wrong:  # noqa: A001
            with pytest.raises(FilterValueError, match=r"Expected `\w+`, got `\w+`") as caught:
                await cls.find_one(filter)
            assert caught.value.path == path
        for update in ({"author": tag}, {"tags": [user]}, {"tags.0": user}):
            with pytest.raises(DocumentValidationError, match=r"Expected `\w+`, got `\w+`"):
                await Post.update_many({}, {"$set": update})
        with pytest.raises(DocumentValidationError):
            await Post.update_many({}, {"$push": {"tags": user}})
        with pytest.raises(DocumentValidationError):
            await Post.update_many({}, {"$set": {"author": "text"}})
    assert seen == []


async def test_a_path_into_a_reference_is_refused_with_the_two_ways(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*EVERYTHING)
    acts: list[tuple[Any, str]] = [
        (lambda: Post.find_one({"author.name": "u"}), "author.name"),
        (lambda: Post.find_all(sort="author.name"), "author.name"),
        (lambda: Post.distinct("tags.label"), "tags.label"),
        (lambda: Post.find_all({"tags": {"$elemMatch": {"label": "t"}}}), "tags.label"),
        (lambda: Post.update_many({}, {"$set": {"author.name": "v"}}), "author.name"),
        (lambda: Post.find_all({}, projection={"author.name": 1}), "author.name"),
        (lambda: Shelf.find_all({"by_name.u.name": "u"}), "by_name.u.name"),
        (lambda: Shelf.find_all({"byline.author.age": 1}), "byline.author.age"),
        (lambda: Person.find_all({"friend.friend.name": "u"}), "friend.friend.name"),
    ]
    with mongo_proxy.recording() as seen:
        for act, path in acts:
            with pytest.raises(UnknownFieldError) as caught:
                await act()
            assert caught.value.path == path
            message = str(caught.value)
            assert "_id" in message and "$in" in message and "$lookup" in message
    assert seen == []
    with pytest.raises(UnknownFieldError, match=r'\{"author": \{"\$in": \[\.\.\.\]\}\}'):
        await Post.find_one({"author.name": "u"})


WRONG: dict[str, Any] = {
    "filter": {"author.name": "u"},
    "update": {"$set": {"author.name": "v"}},
    "sort": "author.name",
    "projection": {"author.name": 1},
    "field": "author.name",
}
TAKERS = [(name, each) for each in WRONG for name in sorted(takers(each, MongoDocument))]


@pytest.mark.parametrize(("name", "parameter"), [each for each in TAKERS if "bulk" not in each[0]])
async def test_every_operation_of_a_class_with_references_checks_what_it_takes(
    bind: Bind, mongo_proxy: FaultProxy, name: str, parameter: str
) -> None:
    await bind(*EVERYTHING)
    author = await User(name="u").insert()
    post = Post(_id=ObjectId(), title="p", author=author)
    arguments: dict[str, Any] = {
        "filter": {},
        "id": ObjectId(),
        "update": {"$set": {"title": "q"}},
        "field": "title",
        "replacement": post,
        "document": post,
    }
    of_class = isinstance(getattr_static(Post, name), classmethod)
    act = getattr(Post if of_class else Post.ref(ObjectId()) if name == "fetch" else post, name)
    needed = {
        each.name: arguments[each.name]
        for each in signature(act).parameters.values()
        if each.kind is each.POSITIONAL_OR_KEYWORD and each.name in arguments
    }
    with mongo_proxy.recording() as seen, pytest.raises(UnknownFieldError, match="lookup"):
        cursor = act(**{**needed, parameter: WRONG[parameter]})
        await (cursor.to_list() if name == "find" else cursor)
    assert seen == []


async def test_updates_of_references_are_taken(bind: Bind) -> None:
    await bind(*EVERYTHING)
    user, tag = await User(name="u").insert(), await Tag(label="t").insert()
    post = await Post(title="p", author=user).insert()
    for update in (
        {"$set": {"author": user, "reviewer": user.id, "tags": [tag]}},
        {"$set": {"tags.0": tag.id, "reviewer": None}},
        {"$push": {"tags": tag}},
        {"$addToSet": {"tags": {"$each": [tag, tag.id]}}},
        {"$pull": {"tags": tag}},
        {"$pull": {"tags": {"$in": [tag.id]}}},
        {"$unset": {"reviewer": ""}},
    ):
        await Post.update_by_id(post.id, update)
    await Shelf.update_many({}, {"$set": {"byline": Byline(user), "by_name.x": user}})
    assert (await Post.find_all())[0].author == user


async def test_queries_that_references_make_are_not_checked(bind: Bind) -> None:
    class Scoped(MongoDocument):
        name: str

        @classmethod
        def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
            return {"$and": [filter, {"tenant": "us"}]}

    class Holder(MongoDocument):
        to: Scoped

    await bind(Scoped, Holder)
    await Holder(to=Scoped(name="a")).insert_recursive()
    (found,) = await Holder.find_all()
    assert found.to.name == "a"
    found.to.name = "b"
    await found.save()
    with pytest.raises(UnknownFieldError):
        await Scoped.find_all()

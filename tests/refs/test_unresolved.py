"""Unresolved and missing references: what works, what raises, what is never lost."""

import asyncio
import copy
import pickle
from typing import Any

import msgspec
import pytest
from bson import ObjectId

from mongospec_core import InvalidIdError, OptionError, changes, enc_hook
from mongospec_refs import (
    MissingReferenceError,
    MongoDocument,
    UnresolvedReferenceError,
    is_resolved,
    to_builtins,
)
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.blog import BLOG, Badge, Company, Person, Post, Tag, User


async def saved_post() -> tuple[Post, User]:
    user = await User(name="Alice", age=3).insert()
    return await Post(
        title="Hello", author=user, tags=[await Tag(label="t").insert()]
    ).insert(), user


async def test_an_unresolved_reference_has_its_class_and_id_and_refuses_the_rest(
    bind: Bind,
) -> None:
    await bind(*BLOG)
    _, user = await saved_post()
    (post,) = await Post.find_all(resolve_refs=False)
    author = post.author
    assert isinstance(author, User) and author._id == user.id and author.id == user.id
    assert repr(author) == f"User[unresolved](_id={user.id!r})"
    assert f"author=User[unresolved](_id={user.id!r})" in repr(post)
    assert author == user and user == author and hash(author) == hash(user)
    assert author != Tag(label="x") and author != post.tags[0]
    for name in ("name", "age", "employer"):
        with pytest.raises(UnresolvedReferenceError, match=rf"\.{name}.*fetch\(\)") as raised:
            getattr(author, name, "default")  # no AttributeError that the default would hide
        assert raised.value.reference is author
    with pytest.raises(UnresolvedReferenceError, match="fetch"):
        author.name = "Bob"
    with pytest.raises(UnresolvedReferenceError, match="fetch"):
        del author.name
    with pytest.raises(UnresolvedReferenceError, match="fetch"):
        copy.replace(author, name="Bob")
    with pytest.raises(AttributeError):
        _ = author.no_such_thing  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", ["save", "insert", "insert_recursive", "delete", "dump"])
async def test_an_unresolved_reference_cannot_be_written(bind: Bind, verb: str) -> None:
    await bind(*BLOG)
    await saved_post()
    (post,) = await Post.find_all(resolve_refs=False)
    with pytest.raises(UnresolvedReferenceError, match=verb):
        getattr(post.author, verb)()


async def test_an_unresolved_reference_has_no_changes_to_show(bind: Bind) -> None:
    await bind(*BLOG)
    reference = User.ref(ObjectId())
    with pytest.raises(UnresolvedReferenceError):
        changes(reference)
    for write in (User.insert_many([reference]), User.save_many([reference])):
        with pytest.raises((UnresolvedReferenceError, OptionError), match="unresolved"):
            await write
    assert reference.get_collection_name() == "users"


async def test_saving_around_an_unresolved_reference_changes_nothing_in_its_document(
    bind: Bind,
) -> None:
    await bind(*BLOG)
    await saved_post()
    before = await stored(User), await stored(Tag)
    (post,) = await Post.find_all(resolve_refs=False)
    assert changes(post) == {}
    await post.save()
    post.title = "Other"
    await post.save()
    await Post.save_many([post])
    with pytest.raises(UnresolvedReferenceError):
        await post.author.save()
    assert (await stored(User), await stored(Tag)) == before
    assert (await stored(Post))[0]["author"] == before[0][0]["_id"]


async def test_fetch_fills_the_reference_for_every_holder(bind: Bind, max_queries: Any) -> None:
    await bind(*BLOG)
    company = await Company(name="c").insert()
    user = await User(name="Alice", employer=company).insert()
    await Post.insert_many([Post(title=str(n), author=user, reviewer=user) for n in range(3)])
    posts = await Post.find_all(resolve_refs=False)
    with max_queries(2):  # the user, and its employer
        fetched = await posts[0].author.fetch()
    assert fetched is posts[0].author and type(fetched) is User
    assert all(each.author.name == "Alice" and each.reviewer is fetched for each in posts)
    assert fetched.employer == company and is_resolved(fetched)
    with max_queries(0):
        assert await fetched.fetch() is fetched
    fetched.name = "Bob"
    await posts[0].save()
    assert [each["name"] for each in await stored(User)] == ["Bob"]


async def test_fetch_can_leave_the_next_level_alone(bind: Bind, max_queries: Any) -> None:
    await bind(*BLOG)
    user = await User(name="a", employer=await Company(name="c").insert()).insert()
    reference = User.ref(user.id)
    with max_queries(1):
        await reference.fetch(resolve_refs=False)
    assert reference.name == "a" and reference.employer is not None
    assert not is_resolved(reference.employer)


async def test_fetch_of_a_document_in_a_cycle_gives_the_same_object(bind: Bind) -> None:
    await bind(Person)
    a = await Person(name="a").insert()
    b = await Person(name="b", friend=a).insert()
    a.friend = b
    await a.save()
    reference = Person.ref(a.id)
    await reference.fetch()
    assert reference.friend is not None and reference.friend.friend is reference


async def test_fetch_does_not_undo_what_another_task_has_changed_meanwhile(bind: Bind) -> None:
    await bind(*BLOG)
    user = await User(name="a").insert()
    reference = User.ref(user.id)

    async def fetch_and_change() -> None:
        await reference.fetch()
        reference.name += "!"

    await asyncio.gather(fetch_and_change(), fetch_and_change())
    assert reference.name == "a!!"


async def test_a_failed_fetch_leaves_the_reference_as_it_was(bind: Bind) -> None:
    await bind(*BLOG)
    company = await Company(name="c").insert()
    user = await User(name="a", employer=company).insert()
    await Company.get_collection().update_one({"_id": company.id}, {"$set": {"name": 1}})
    reference = User.ref(user.id)
    with pytest.raises(msgspec.ValidationError):
        await reference.fetch()
    assert not is_resolved(reference)
    assert msgspec.json.encode(reference, enc_hook=enc_hook) == (
        b'{"_id":"%s"}' % str(user.id).encode()
    )


async def test_ref_makes_a_reference_of_an_id(bind: Bind, max_queries: Any) -> None:
    await bind(*BLOG)
    user = await User(name="a").insert()
    with max_queries(0):
        reference = User.ref(str(user.id))
        post = await Post(title="x", author=reference).insert()
    assert reference.id == user.id and not is_resolved(reference)
    assert (await stored(Post))[0]["author"] == user.id
    assert changes(post) == {}
    with pytest.raises(InvalidIdError, match="User"):
        User.ref("not an id")


# -- missing


async def test_a_missing_target_leaves_its_parents_readable_and_writable(bind: Bind) -> None:
    await bind(*BLOG)
    tags = [Tag(label=str(number)) for number in range(3)]
    await Tag.insert_many(tags)
    user = await User(name="a").insert()
    await Post(title="x", author=user, tags=tags).insert()
    await user.delete()
    await tags[1].delete()
    (post,) = await Post.find_all()
    assert repr(post.author) == f"User[missing](_id={user.id!r})"
    assert [is_resolved(each) for each in post.tags] == [True, False, True]
    with pytest.raises(MissingReferenceError, match=r"\.name.*not in the collection 'users'"):
        _ = post.author.name
    with pytest.raises(LookupError):
        await post.author.fetch()
    before = await stored(Post)
    assert changes(post) == {}
    await post.save()
    post.title = "y"
    await post.save()
    assert await stored(Post) == [{**before[0], "title": "y"}]
    assert before[0]["author"] == user.id and before[0]["tags"] == [each.id for each in tags]


async def test_a_missing_target_that_comes_back_can_be_fetched(bind: Bind) -> None:
    await bind(*BLOG)
    id_ = ObjectId()
    await Post(title="x", author=User.ref(id_)).insert()
    (post,) = await Post.find_all()
    with pytest.raises(MissingReferenceError):
        await post.author.fetch()
    await User(_id=id_, name="late").insert()
    assert (await post.author.fetch()).name == "late"


async def test_a_fetched_reference_without_document_becomes_missing(bind: Bind) -> None:
    await bind(*BLOG)
    reference = User.ref(ObjectId())
    with pytest.raises(MissingReferenceError):
        await reference.fetch()
    assert type(reference).__name__ == "User[missing]"


# -- what a class may be


@pytest.mark.parametrize("options", [{}, {"frozen": True}, {"rename": "camel"}, {"tag": True}])
@pytest.mark.parametrize(
    "more", [{}, {"omit_defaults": True}, {"weakref": True}, {"order": True}, {"dict": True}]
)
async def test_unresolved_documents_of_every_kind_of_class(
    bind: Bind, options: dict[str, Any], more: dict[str, Any]
) -> None:
    class Target(MongoDocument, **options, **more):
        some_name: str
        number: int = 3

        def __init_subclass__(cls, **config: Any) -> None:
            raise AssertionError("generated classes are no subclasses of the user's")

        def __post_init__(self) -> None:
            assert isinstance(self.some_name, str)

    class Holder(MongoDocument):
        target: Target

    await bind(Target, Holder)
    target = await Target(some_name="x").insert()
    await Holder(target=target).insert()
    (resolved,) = await Holder.find_all()
    assert resolved.target == target and resolved.target.some_name == "x"
    (holder,) = await Holder.find_all(resolve_refs=False)
    reference = holder.target
    assert not is_resolved(reference) and reference == target and isinstance(reference, Target)
    for each in (
        copy.copy(reference),
        copy.deepcopy(reference),
    ):
        assert each == reference and not is_resolved(each)
    tag = {"type": "Target"} if options.get("tag") else {}
    expected = {**tag, "_id": str(target.id)}
    assert msgspec.json.decode(msgspec.json.encode(reference, enc_hook=enc_hook)) == expected
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(reference, enc_hook=enc_hook)) == expected
    assert to_builtins(reference) == expected
    assert holder.target is await reference.fetch()
    assert holder.target.some_name == "x" and type(holder.target) is Target


async def test_unresolved_documents_can_be_pickled(bind: Bind) -> None:
    await bind(*BLOG)
    await saved_post()
    (post,) = await Post.find_all(resolve_refs=False)
    twin = pickle.loads(pickle.dumps(post))
    assert twin == post and not is_resolved(twin.author) and type(twin.author) is type(post.author)
    assert changes(twin) == {}


async def test_a_set_of_unresolved_documents(bind: Bind) -> None:
    class Wearer(MongoDocument):
        badges: set[Badge]

    await bind(Badge, Wearer)
    badges = {await Badge(name=each).insert() for each in "ab"}
    await Wearer(badges=badges).insert()
    (wearer,) = await Wearer.find_all(resolve_refs=False)
    assert len(wearer.badges) == 2 and wearer.badges == badges
    for badge in wearer.badges:
        await badge.fetch()
    assert {each.name for each in wearer.badges} == {"a", "b"}


async def test_a_field_may_hide_any_method_that_references_need(bind: Bind) -> None:
    with pytest.warns(UserWarning, match="hides"):

        class Awkward(MongoDocument):
            fetch: int
            ref: str = "r"
            id: str = "i"
            save: int = 1
            dump: int = 2

    class Holder(MongoDocument):
        awkward: Awkward

    await bind(Awkward, Holder)
    awkward = await Awkward(fetch=1).insert()
    await Holder(awkward=awkward).insert()
    (holder,) = await Holder.find_all(resolve_refs=False)
    for name in ("fetch", "ref", "id", "save", "dump"):
        with pytest.raises(UnresolvedReferenceError):
            getattr(holder.awkward, name)
    await MongoDocument.fetch(holder.awkward)
    assert holder.awkward == awkward
    holder.awkward.fetch = 7
    await holder.save()
    assert (await stored(Awkward))[0]["fetch"] == 7


def test_load_gives_unresolved_references() -> None:
    user, tag = ObjectId(), ObjectId()
    post = Post.load({"title": "x", "author": user, "tags": [tag]})
    assert post.author.id == user and not is_resolved(post.author)
    assert [each.id for each in post.tags] == [tag]
    assert post.dump() == {"title": "x", "author": user, "reviewer": None, "tags": [tag]}


class Marked(MongoDocument, dict=True):
    name: str
    friend: "Marked | None" = None


async def test_attributes_beside_the_fields_survive_in_a_cycle(bind: Bind) -> None:
    await bind(Marked)
    one: Any = await Marked(name="a").insert()
    one.friend, one.note = one, ["kept"]
    for each in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert each.note == ["kept"]
        assert each.friend.note == ["kept"]
    twin = pickle.loads(pickle.dumps(one))
    assert twin.friend is twin

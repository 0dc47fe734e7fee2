"""save() with the references: what is written, and what never is."""

import asyncio
import copy
import pickle
from typing import Any

import msgspec
import pytest
from bson import ObjectId
from pymongo import InsertOne, ReplaceOne

import mongospec_core
from mongospec_core import (
    BulkWriteError,
    DocumentNotFoundError,
    DocumentValidationError,
    DuplicateKeyError,
    EncodingError,
    MissingIdError,
    MongospecError,
    OperationError,
    OptionError,
    changes,
    run_in_transaction,
    transaction,
)
from mongospec_core.extension import UNKNOWN_CONTENT, set_snapshot
from mongospec_refs import CascadeSaveError, MongoDocument, UnsavedReferenceError
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.blog import BLOG, Company, Person, Post, Seen, Tag, User


def updates(seen: list[Any]) -> list[tuple[str | None, list[Any]]]:
    """Collection and update documents of each command."""
    return [
        (command.collection, [each["u"] for each in command.body["updates"]])
        for command in seen
        if command.name == "update"
    ]


async def blog(bind: Bind, tags: int = 0) -> Post:
    await bind(*BLOG)
    company = await Company(name="c").insert()
    user = await User(name="Alice", age=30, employer=company).insert()
    labels = [Tag(label=f"t{number}") for number in range(tags)]
    await Tag.insert_many(labels)
    await Post(title="Hello", author=user, reviewer=user, tags=labels).insert()
    (post,) = await Post.find_all()
    return post


async def test_a_changed_name_is_stored(bind: Bind, mongo_proxy: FaultProxy) -> None:
    post = await blog(bind)
    post.author.name = "Updated"
    with mongo_proxy.recording() as seen:
        assert await post.save() is post
    assert updates(seen) == [("users", [{"$set": {"name": "Updated"}}])]
    (user,) = await stored(User)
    assert user["name"] == "Updated" and user["age"] == 30


async def test_what_nobody_changed_costs_no_write(bind: Bind, mongo_proxy: FaultProxy) -> None:
    post = await blog(bind, tags=3)
    with mongo_proxy.recording() as seen:
        await post.save()
        post.title = "Other"
        await post.save()
    assert updates(seen) == [("posts", [{"$set": {"title": "Other"}}])]


class Text(str):
    __slots__ = ()


class Years(int):
    pass


@pytest.mark.parametrize("way", ["insert", "insert_recursive"])
async def test_values_of_subclasses_of_what_bson_has_cost_a_cascade_no_write(
    bind: Bind, mongo_proxy: FaultProxy, way: str
) -> None:
    await bind(*BLOG)
    user = User(name=Text("Alice"), age=Years(30), employer=Company(name=Text("c")))
    post = Post(title=Text("Hello"), author=user, tags=[Tag(label=Text("t"))])
    if way == "insert_recursive":
        await post.insert_recursive()
    else:
        await user.employer.insert()  # type: ignore[union-attr]
        await User.insert_many([user])
        await Tag.insert_many(post.tags)
        await post.insert()
    with mongo_proxy.recording() as seen:
        for twin in (post, copy.deepcopy(post), pickle.loads(pickle.dumps(post))):
            await twin.save()
            await Post.save_many([twin])
    assert updates(seen) == []
    post.title = Text("Other")
    with mongo_proxy.recording() as seen:
        await post.save()
    assert updates(seen) == [("posts", [{"$set": {"title": "Other"}}])]


async def test_another_writers_change_to_other_fields_survives(bind: Bind) -> None:
    post = await blog(bind)
    await User.update_one({}, {"$set": {"age": 99, "undeclared": 1}}, check=False)
    post.author.name = "Updated"
    await post.save()
    (user,) = await stored(User)
    assert (user["name"], user["age"], user["undeclared"]) == ("Updated", 99, 1)


async def test_one_command_a_collection_references_first_the_root_last(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    post = await blog(bind, tags=4)
    for tag in post.tags:
        tag.label += "!"
    assert post.author.employer is not None
    post.author.employer.name = "d"
    post.author.name = "Bob"  # four fields refer to one author: one write
    post.title = "Other"
    with mongo_proxy.recording() as seen:
        await post.save()
    assert [(name, len(each)) for name, each in updates(seen)] == [
        ("Company", 1),
        ("users", 1),
        ("tags", 4),
        ("posts", 1),
    ]
    assert [each["label"] for each in await stored(Tag)] == ["t0!", "t1!", "t2!", "t3!"]


async def test_save_many_saves_what_the_documents_share_once(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await blog(bind)
    await Post.insert_many(
        [Post(title=str(n), author=User.ref((await User.find_one()).id)) for n in range(3)]
    )  # type: ignore[union-attr]
    posts = await Post.find_all()
    for post in posts:
        post.author.age += 1
        post.title += "!"
    with mongo_proxy.recording() as seen:
        result = await Post.save_many(posts)
    assert [(name, len(each)) for name, each in updates(seen)] == [("users", 1), ("posts", 4)]
    assert result.matched_count == 4
    assert (await stored(User))[0]["age"] == 34
    posts[0].author.age = 0
    posts[0].title = "only this"
    with mongo_proxy.recording() as seen:
        await Post.save_many(posts, save_refs=False)
    assert [name for name, _ in updates(seen)] == ["posts"]


async def test_save_refs_false_writes_only_the_root(bind: Bind, mongo_proxy: FaultProxy) -> None:
    post = await blog(bind)
    post.author.name = "Updated"
    post.title = "Other"
    with mongo_proxy.recording() as seen:
        await post.save(save_refs=False)
    assert [name for name, _ in updates(seen)] == ["posts"]
    assert (await stored(User))[0]["name"] == "Alice"
    await post.save()
    assert (await stored(User))[0]["name"] == "Updated"


async def test_a_document_built_by_hand_with_an_id_is_never_written(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    post = await blog(bind)
    before = await stored(User)
    post.author = User(_id=post.author.id, name="built by hand")
    with mongo_proxy.recording() as seen:
        await post.save()
        await Post(title="new", author=User(_id=ObjectId(), name="x")).insert()
    assert updates(seen) == []
    assert await stored(User) == before


async def test_two_instances_of_one_document_each_send_their_own_changes(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    post = await blog(bind)
    one = post.author
    other = await User.find_one({})
    assert other is not None
    post.reviewer = other
    one.name, other.name, other.age = "first", "second", 31
    with mongo_proxy.recording() as seen:
        await post.save()
    assert updates(seen) == [
        ("users", [{"$set": {"name": "first"}}, {"$set": {"name": "second", "age": 31}}])
    ]
    (user,) = await stored(User)
    assert (user["name"], user["age"]) == ("second", 31)


async def test_a_document_whose_content_is_not_known_is_sent_whole(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    post = await blog(bind)
    set_snapshot(post.author, UNKNOWN_CONTENT)
    with mongo_proxy.recording() as seen:
        await post.save()
        await post.save()
    ((name, (update,)),) = updates(seen)
    assert name == "users" and update["$set"].keys() == {"name", "age", "employer"}


async def test_the_hooks_of_changed_documents_run_and_of_the_root_always(bind: Bind) -> None:
    await bind(Seen)
    third = await Seen(label="third").insert()
    second = await Seen(label="second", next=third).insert()
    await Seen(label="first", next=second).insert()
    (first,) = await Seen.find_all({"label": "first"})
    Seen.calls.clear()
    await first.save()
    assert Seen.calls == ["first"]
    assert first.next is not None and first.next.next is not None
    first.next.next.label = "changed"
    Seen.calls.clear()
    await first.save()
    assert Seen.calls == ["first", "changed"]


class Counter(MongoDocument):
    number: int = 0


class Counting(MongoDocument):
    counter: Counter
    spare: Counter | None = None

    def __pre_save__(self) -> None:
        self.counter.number += 1


async def test_what_a_hook_changes_in_a_reference_is_saved(bind: Bind) -> None:
    await bind(Counter, Counting)
    counting = await Counting(counter=await Counter().insert()).insert()
    assert (await stored(Counter))[0]["number"] == 0  # an insert writes no references
    await counting.save()
    assert (await stored(Counter))[0]["number"] == 2


async def test_cycles_are_saved_once_each(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Person)
    a = await Person(name="a").insert()
    b = await Person(name="b", friend=a).insert()
    a.friend, a.others = b, [a, b]
    await a.save()
    a.name, b.name = "A", "B"
    with mongo_proxy.recording() as seen:
        await a.save()
    assert updates(seen) == [
        ("Person", [{"$set": {"name": "B"}}]),
        ("Person", [{"$set": {"name": "A"}}]),
    ]


# -- refused before anything is sent


async def test_an_unsaved_reference_is_refused_before_anything_is_sent(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    post = await blog(bind, tags=1)
    post.author.name = "changed"
    post.tags.append(Tag(label="new"))
    new = Post(title="new", author=User(name="new"))
    post.title = "changed"
    with mongo_proxy.recording() as seen:
        with pytest.raises(UnsavedReferenceError, match=r"Post\.tags\[1\].*Tag") as raised:
            await post.save()
        assert raised.value.reference is post.tags[1] and raised.value.path == "tags[1]"
        for write in (
            new.insert(),
            Post.insert_one(new),
            Post.insert_many([new]),
            Post.insert_if_not_exists(new, {"title": "new"}),
            Post.find_one_and_replace({"title": "Hello"}, new),
            Post.save_many([post]),
            Post.bulk_write([InsertOne(new)]),  # type: ignore[type-var]
            Post.bulk_write([ReplaceOne({"title": "Hello"}, new)]),  # type: ignore[type-var]
            post.save(save_refs=False),
        ):
            with pytest.raises(UnsavedReferenceError):
                await write
    assert seen == [] and new._id is None and new.author._id is None
    with pytest.raises(UnsavedReferenceError):
        new.dump()


async def test_documents_of_the_same_batch_count_as_unsaved(bind: Bind) -> None:
    await bind(Person)
    a = Person(name="a")
    b = Person(name="b", friend=a)
    with pytest.raises(UnsavedReferenceError, match=r"Person\.friend"):
        await Person.insert_many([a, b])
    assert a._id is None and b._id is None and await stored(Person) == []


async def test_a_document_may_refer_to_itself(bind: Bind) -> None:
    await bind(Person)
    a = Person(name="a")
    a.friend = a
    await a.insert()
    b = Person(name="b")
    b.others = [b]
    await Person.insert_many([b])
    assert [each["friend"] for each in await stored(Person)] == [a.id, None]
    assert (await stored(Person))[1]["others"] == [b.id]
    (read, _) = await Person.find_all(sort="name")
    assert read.friend is read and read == a


async def test_an_unsaved_reference_deep_in_the_graph_is_refused(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    post = await blog(bind)
    post.author.employer = Company(name="new")
    with (
        mongo_proxy.recording() as seen,
        pytest.raises(UnsavedReferenceError, match=r"User\.employer"),
    ):
        await post.save()
    assert seen == []


async def test_everything_is_checked_before_anything_is_sent(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    post = await blog(bind)
    post.author.name = "fine"
    post.title = 5  # type: ignore[assignment]
    with (
        mongo_proxy.recording() as seen,
        pytest.raises(DocumentValidationError, match=r"Post\.title"),
    ):
        await post.save()
    post.title = "fine"
    post.author.age = "x"  # type: ignore[assignment]
    with (
        mongo_proxy.recording() as more,
        pytest.raises(DocumentValidationError, match=r"User\.age"),
    ):
        await post.save()
    assert seen == [] and more == []


async def test_what_bson_cannot_hold_is_refused_before_anything_is_sent(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    post = await blog(bind)
    assert post.author.employer is not None
    post.author.employer.name, post.author.age = "d", 2**70
    with mongo_proxy.recording() as seen, pytest.raises(EncodingError, match=r"User\.age"):
        await post.save()
    assert seen == []


async def test_another_id_is_refused_before_anything_is_sent(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    post = await blog(bind)
    assert post.author.employer is not None
    post.author.employer.name = "d"
    id_, post.author._id = post.author._id, ObjectId()
    with mongo_proxy.recording() as seen, pytest.raises(MongospecError, match=r"User.*another _id"):
        await post.save()
    post.author._id, post._id = id_, ObjectId()
    with mongo_proxy.recording() as more, pytest.raises(MongospecError, match=r"Post.*another _id"):
        await post.save()
    assert seen == [] and more == []


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (Tag(_id=ObjectId(), label="t"), r"Expected `User`, got `Tag`"),
        (ObjectId(), r"got `ObjectId`; User\.ref\(id\)"),
        ({"name": "x"}, "got `dict`"),
    ],
)
async def test_what_is_no_reference_of_the_class_is_refused(
    bind: Bind, value: Any, says: str
) -> None:
    await bind(*BLOG)
    with pytest.raises(DocumentValidationError, match=r"Post\.author.*" + says):
        await Post(title="x", author=value).insert()
    assert await stored(Post) == []


async def test_a_subclass_is_no_reference_of_its_base(bind: Bind) -> None:
    class Admin(User):
        __collection_name__ = "admins"

    await bind(*BLOG, Admin)
    admin = await Admin(name="a").insert()
    with pytest.raises(DocumentValidationError, match="another collection"):
        await Post(title="x", author=admin).insert()


async def test_a_document_without_id_cannot_be_saved(bind: Bind) -> None:
    await bind(*BLOG)
    with pytest.raises(MissingIdError):
        await User(name="a").save()


# -- failures in the middle


async def test_a_failed_reference_leaves_the_root_unsent_and_is_named(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    post = await blog(bind, tags=2)
    await User.get_collection().create_index({"name": 1}, unique=True)
    await User(name="taken").insert()
    assert post.author.employer is not None
    post.author.employer.name, post.author.name, post.title = "d", "taken", "Other"
    post.tags[0].label = "x"
    with mongo_proxy.recording() as seen, pytest.raises(CascadeSaveError) as raised:
        await post.save()
    error = raised.value
    assert error.written == [post.author.employer]
    assert [each.document for each in error.failures] == [post.author]
    assert error.failures[0].code == 11000
    assert error.unsent == [post.tags[0], post] and error.unknown == []
    assert error.outcome == "partial" and error.__cause__ is not None
    assert [name for name, _ in updates(seen)] == ["Company", "users"]
    assert (await stored(Post))[0]["title"] == "Hello"
    # What was not stored is still a change.
    post.author.name = "free"
    await post.save()
    assert (await stored(Post))[0]["title"] == "Other"
    assert [each["label"] for each in await stored(Tag)] == ["x", "t1"]


async def test_a_reference_that_is_gone_is_named(bind: Bind) -> None:
    post = await blog(bind)
    await User.delete_by_id(post.author.id)
    post.author.name, post.title = "x", "y"
    with pytest.raises(CascadeSaveError, match="not in the collection") as raised:
        await post.save()
    assert [each.document for each in raised.value.failures] == [post.author]
    assert (await stored(Post))[0]["title"] == "Hello"


async def test_the_roots_own_failure_says_what_was_saved_before_it(bind: Bind) -> None:
    post = await blog(bind)
    await Post.delete_by_id(post.id)
    post.author.name, post.title = "saved", "lost"
    with pytest.raises(DocumentNotFoundError) as raised:
        await post.save()
    assert str(post.author.id) in raised.value.__notes__[0]
    assert raised.value.outcome == "partial"
    assert (await stored(User))[0]["name"] == "saved"
    await post.save(upsert=True)
    assert (await stored(Post))[0]["title"] == "lost"


async def test_save_many_says_what_was_saved_before_its_own_failure(bind: Bind) -> None:
    post = await blog(bind)
    await Post.delete_by_id(post.id)
    post.author.name, post.title = "saved", "lost"
    with pytest.raises(BulkWriteError) as raised:
        await Post.save_many([post])
    assert str(post.author.id) in raised.value.__notes__[0]
    assert raised.value.outcome == "partial"


async def test_a_root_that_the_server_refuses_is_partial_if_references_were_saved(
    bind: Bind,
) -> None:
    post = await blog(bind)
    await Post.get_collection().create_index({"title": 1}, unique=True)
    await Post(title="taken", author=post.author).insert()
    post.title = "taken"
    with pytest.raises(DuplicateKeyError) as alone:
        await post.save()
    assert alone.value.outcome == "not_applied"
    post.author.name = "saved"
    with pytest.raises(DuplicateKeyError) as raised:
        await post.save()
    assert raised.value.outcome == "partial"
    assert (await stored(User))[0]["name"] == "saved"


async def test_what_another_task_changes_meanwhile_is_not_in_what_was_checked(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    post = await blog(bind)
    post.author.name, post.title = "saved", "checked"
    broken: Any = 5
    with mongo_proxy.delay("update", 0.1, where=lambda command: command.collection == "users") as r:
        task = asyncio.create_task(post.save())
        await r.reached()
        post.title = broken
        await task
    assert (await stored(Post))[0]["title"] == "checked"
    with pytest.raises(DocumentValidationError):
        await post.save()


async def test_an_upsert_that_its_references_stop_takes_its_id_back(bind: Bind) -> None:
    post = await blog(bind)
    await User.delete_by_id(post.author.id)
    post.author.name = "x"
    new = Post(title="new", author=post.author)
    with pytest.raises(CascadeSaveError):
        await new.save(upsert=True)
    assert new._id is None
    assert await Post.count() == 1


async def test_a_cascade_that_the_server_stops_is_an_operation_error(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    post = await blog(bind)
    post.author.name = "x"
    with mongo_proxy.fail("update", 13), pytest.raises(CascadeSaveError) as raised:
        await post.save()
    error = raised.value
    assert isinstance(error, OperationError)
    assert error.code == 13 and error.outcome == "not_applied"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and again.code == 13 and str(again) == str(error)


async def test_a_class_without_references_saves_as_core_does(
    bind: Bind, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bind(*BLOG)
    tag = await Tag(label="a").insert()
    monkeypatch.delattr("mongospec_refs.save.Cascade")
    tag.label = "b"
    await tag.save()
    tag.label = "c"
    await Tag.save_many([tag])
    assert (await stored(Tag))[0]["label"] == "c"


@pytest.mark.parametrize("option", ["upsert", "collation", "array_filters", "hint"])
async def test_save_many_refuses_options_that_it_would_drop(bind: Bind, option: str) -> None:
    post = await blog(bind)
    post.title = "Other"
    given: Any = {option: True}
    with pytest.raises(OptionError, match=option):
        await Post.save_many([post], **given)
    assert (await stored(Post))[0]["title"] == "Hello"


async def test_a_lost_reply_leaves_the_content_unknown(bind: Bind, mongo_proxy: FaultProxy) -> None:
    post = await blog(bind)
    post.author.name, post.title = "new", "Other"
    with mongo_proxy.cut("update", at="reply"), pytest.raises(CascadeSaveError) as raised:
        await post.save()
    assert raised.value.unknown == [post.author] and raised.value.unsent == [post]
    assert raised.value.outcome == "unknown"
    with mongo_proxy.recording() as seen:
        await post.save()
    ((_, (whole,)), _) = updates(seen)
    assert whole["$set"].keys() == {"name", "age", "employer"}
    assert (await stored(User))[0]["name"] == "new"


# -- transactions


async def test_an_aborted_transaction_gives_back_every_change(bind: Bind) -> None:
    post = await blog(bind)
    post.author.name, post.title = "new", "Other"

    async def work() -> None:
        async with transaction():
            await post.save()
            assert changes(post) == {} and changes(post.author) == {}
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert (await stored(User))[0]["name"] == "Alice"
    assert (await stored(Post))[0]["title"] == "Hello"
    assert changes(post) == {"title": "Other"} and changes(post.author) == {"name": "new"}
    async with transaction():
        await post.save()
    assert (await stored(User))[0]["name"] == "new"
    assert (await stored(Post))[0]["title"] == "Other"


async def test_a_transaction_makes_the_cascade_one_write(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    post = await blog(bind, tags=1)
    await Tag.get_collection().create_index({"label": 1}, unique=True)
    await Tag(label="taken").insert()
    post.author.name, post.tags[0].label = "new", "taken"

    async def work() -> None:
        async with transaction():
            await post.save()

    with pytest.raises(CascadeSaveError):
        await work()
    assert (await stored(User))[0]["name"] == "Alice"
    assert changes(post.author) == {"name": "new"}


async def test_run_in_transaction_repeats_a_cascade_and_a_recursive_insert(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    post = await blog(bind)
    post.author.name, post.title = "new", "Other"
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        await post.save()
        await Post(title="second", author=User(name="second")).insert_recursive()

    label = ["TransientTransactionError"]
    with (
        mongo_proxy.fail("update", 112, labels=label, times=1, skip=1),
        mongo_proxy.fail("insert", 112, labels=label, times=1, skip=1),
    ):
        await run_in_transaction(work)
    assert runs == 3
    assert [each["name"] for each in await stored(User)] == ["new", "second"]
    assert [each["title"] for each in await stored(Post)] == ["Other", "second"]


# -- filters and updates


async def test_documents_stand_for_their_ids_in_filters_updates_and_pipelines(bind: Bind) -> None:
    post = await blog(bind)
    user = post.author
    other = await User(name="Other").insert()
    for each in (user, User.ref(user.id), copy.copy(user)):
        assert await Post.count({"author": each}) == 1
        assert await Post.count({"author": {"$in": [other, each]}}) == 1
        assert await Post.count({"author": {"$ne": each}}) == 0
    assert await Post.update_one({"author": user}, {"$set": {"author": other}}) == 1
    assert (await stored(Post))[0]["author"] == other.id
    assert await Post.aggregate([{"$match": {"author": other}}]).to_list() != []
    assert await Post.distinct("author") != []
    for unsaved in ({"author": User(name="x")}, {"author": {"$in": [User(name="x")]}}):
        with pytest.raises(UnsavedReferenceError, match="User"):
            await Post.find_all(unsaved)


def test_the_class_is_cores() -> None:
    assert issubclass(MongoDocument, mongospec_core.MongoDocument)


async def test_a_reference_that_was_deleted_through_its_object_is_told_of(bind: Bind) -> None:
    await bind(*BLOG)
    author = await User(name="a").insert()
    post = await Post(title="t", author=author).insert()
    await author.delete()
    author.name = "b"
    post.title = "u"
    with pytest.raises(UnsavedReferenceError, match=r"Post\.author.*deleted.*User\.ref"):
        await post.save()
    with pytest.raises(UnsavedReferenceError, match="deleted"):
        await Post(title="v", author=author).insert()
    post.author = User.ref(author.id)
    await post.save()
    raw = await Post.get_collection().find_one({})
    assert raw is not None
    assert (raw["title"], raw["author"]) == ("u", author.id)


async def test_a_bulk_write_takes_dicts_with_documents_and_ids_as_references(bind: Bind) -> None:
    await bind(*BLOG)
    user = await User(name="u").insert()
    await Post.bulk_write(
        [
            InsertOne({"title": "by id", "author": user.id}),
            InsertOne({"title": "by document", "author": user, "tags": []}),
            ReplaceOne({"title": "by id"}, {"title": "replaced", "author": user.id}),
        ]
    )
    found = await stored(Post)
    assert [(each["title"], each["author"]) for each in found] == [
        ("replaced", user.id),
        ("by document", user.id),
    ]


class Twig(MongoDocument):
    content: Any = None


class Branch(MongoDocument):
    twig: Twig
    content: Any = None


async def test_a_value_nested_too_deeply_in_a_graph_is_refused_before_anything_is_sent(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Twig, Branch)
    value: Any = 1
    for _ in range(5_000):
        value = [value]
    stored = await Branch(twig=await Twig().insert()).insert()
    stored.twig.content = value
    shallow = await Branch(twig=await Twig().insert()).insert()
    shallow.twig.content, shallow.content = 1, value
    with mongo_proxy.recording() as seen:
        for write in (
            stored.save,
            shallow.save,
            lambda: Branch.save_many([stored]),
            Branch(twig=Twig(content=value)).insert_recursive,
            Branch(twig=Twig(), content=value).insert_recursive,
        ):
            with pytest.raises(EncodingError, match=r"(Twig|Branch)\.content of _id=.*nested"):
                await write()
    assert not seen
    assert await Branch.count() == 2


class Plate(msgspec.Struct):
    text: str


class LongPlate(Plate):
    extra: str = ""


class Door(MongoDocument):
    plate: Plate


class Floor(MongoDocument):
    doors: list[Door] = []
    name: str = ""


async def test_an_embedded_value_of_another_class_in_a_reference_stops_the_cascade(
    bind: Bind,
) -> None:
    await bind(Door, Floor)
    floor = Floor(doors=[Door(plate=Plate("a")), Door(plate=Plate("b"))])
    await floor.insert_recursive()
    before = await stored(Door), await stored(Floor)
    floor.name = "first"
    floor.doors[0].plate.text = "c"
    floor.doors[1].plate = LongPlate("d")
    with pytest.raises(EncodingError, match=r"Door\.plate .*a LongPlate in place of a Plate"):
        await floor.save()
    assert (await stored(Door), await stored(Floor)) == before
    new = Floor(doors=[Door(plate=LongPlate("e"))])
    with pytest.raises(DocumentValidationError, match=r"Door\.plate .*a LongPlate in place of a P"):
        await new.insert_recursive()
    assert (await stored(Door), await stored(Floor)) == before

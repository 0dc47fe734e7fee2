"""insert_recursive(): all new documents of a graph, or none of them."""

import asyncio
import uuid
from typing import Any

import mongojet
import msgspec
import pytest
from bson import ObjectId

from mongospec_core import (
    DocumentNotFoundError,
    DocumentValidationError,
    DuplicateKeyError,
    OperationTimeoutError,
    OptionError,
    changes,
    close,
    init,
    timeout,
    transaction,
)
from mongospec_refs import (
    MongoDocument,
    RecursiveInsertError,
    RecursiveInsertResult,
    RecursiveRollbackError,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.blog import BLOG, Company, Person, Post, Tag, User


class Leaf(MongoDocument):
    number: int
    above: "Middle | None" = None


class Middle(MongoDocument):
    number: int
    leaves: list[Leaf] = []


class Top(MongoDocument):
    number: int
    middles: list[Middle] = []


class Natural(MongoDocument):
    _id: str
    parts: "list[Part]" = []


class Part(MongoDocument):
    _id: uuid.UUID = msgspec.field(default_factory=uuid.uuid4)
    number: int = 0


TREE = (Leaf, Middle, Top)


def tree() -> Top:
    """One top, two middles, three leaves each."""
    middles = [
        Middle(number=n, leaves=[Leaf(number=10 * n + m) for m in range(3)]) for n in range(2)
    ]
    return Top(number=0, middles=middles)


def everything(top: Top) -> list[MongoDocument]:
    leaves = [leaf for middle in top.middles for leaf in middle.leaves]
    return [*leaves, *top.middles, top]


async def counts(*classes: type[MongoDocument]) -> list[int]:
    return [await each.get_collection().count_documents({}) for each in classes]


async def test_children_are_inserted_first_in_the_order_of_the_readme(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*BLOG)
    user = await User(name="Alice").insert()
    post = Post(title="Hello", author=user, tags=[Tag(label="python"), Tag(label="async")])
    with mongo_proxy.recording() as seen:
        result = await post.insert_recursive()
    assert isinstance(result, RecursiveInsertResult) and result.document is post
    assert [type(each).__name__ for each in result.created_documents] == ["Tag", "Tag", "Post"]
    assert [each.label for each in post.tags] == ["python", "async"]
    assert [each.name for each in seen] == ["insert", "insert"]
    assert await stored(Post) == [
        {
            "_id": post.id,
            "title": "Hello",
            "author": user.id,
            "reviewer": None,
            "tags": [each.id for each in post.tags],
        }
    ]
    assert changes(post) == {} and changes(post.tags[0]) == {}
    assert await result.rollback() == 3
    assert post._id is None and post.tags[0]._id is None and user._id is not None
    assert await counts(Post, Tag, User) == [0, 0, 1]
    again = await post.insert_recursive()
    assert await again.rollback() == 3 and await again.rollback() == 0


async def test_the_driver_like_spelling_is_the_same(bind: Bind) -> None:
    await bind(*BLOG)
    result = await Post.insert_one_recursive(Post(title="x", author=User(name="a")))
    assert [type(each) for each in result.created_documents] == [User, Post]
    with pytest.raises(OptionError, match="User"):
        await Post.insert_one_recursive(User(name="a"))  # type: ignore[arg-type]


async def test_options_that_it_does_not_take_are_named(bind: Bind) -> None:
    await bind(*BLOG)
    wrong: Any = {"ordered": False}
    with pytest.raises(OptionError, match=r"insert_recursive does not take ordered=; it takes "):
        await Post(title="x", author=User(name="a")).insert_recursive(**wrong)
    result = await Post(title="x", author=User(name="a")).insert_recursive()
    with pytest.raises(RecursiveRollbackError, match=r"rollback does not take ordered=; it takes "):
        await result.rollback(**wrong)
    assert await result.rollback() == 2


async def test_shared_new_documents_are_inserted_once(bind: Bind) -> None:
    await bind(*BLOG)
    company = Company(name="c")
    author = User(name="a", employer=company)
    post = Post(title="x", author=author, reviewer=User(name="b", employer=company))
    post.tags = [tag := Tag(label="t"), tag]
    result = await post.insert_recursive()
    kinds = [type(each).__name__ for each in result.created_documents]
    assert sorted(kinds) == ["Company", "Post", "Tag", "User", "User"]
    assert kinds.index("Company") < kinds.index("User") < kinds.index("Post")
    (read,) = await Post.find_all()
    assert read.author.employer is not None and read.reviewer is not None
    assert read.author.employer is read.reviewer.employer


async def test_cycles_among_new_documents(bind: Bind) -> None:
    await bind(Person)
    a, b, c = (Person(name=each) for each in "abc")
    a.friend, b.friend, c.friend = b, c, a
    a.others = [a, c]
    result = await a.insert_recursive()
    assert {each.name for each in result.created_documents} == {"a", "b", "c"}
    read = await Person.find_one({"name": "a"})
    assert read == a and read.friend is not None and read.friend.friend == c
    assert await result.rollback() == 3 and [a._id, b._id, c._id] == [None, None, None]


async def test_new_documents_behind_existing_ones_are_inserted_too(bind: Bind) -> None:
    await bind(*BLOG)
    user = await User(name="a").insert()
    user.employer = Company(name="new")
    post = Post(title="x", author=user)
    result = await post.insert_recursive()
    assert [type(each) for each in result.created_documents] == [Company, Post]
    await user.save()
    assert (await stored(User))[0]["employer"] == user.employer.id


async def test_two_hundred_documents_take_a_command_for_each_class_and_level(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*TREE)
    top = Top(
        number=0,
        middles=[Middle(number=n, leaves=[Leaf(number=m) for m in range(9)]) for n in range(20)],
    )
    with mongo_proxy.recording() as seen:
        result = await top.insert_recursive()
    assert len(result.created_documents) == 201
    assert [each.name for each in seen] == ["insert"] * 3
    with mongo_proxy.recording() as seen:
        assert await result.rollback() == 201
    assert [each.collection for each in seen] == ["Top", "Middle", "Leaf"]


async def test_documents_with_ids_of_their_own_are_inserted_too(bind: Bind) -> None:
    await bind(Natural, Part)
    natural = Natural(_id="key", parts=[Part(number=1), Part(number=2)])
    ids = [each.id for each in natural.parts]
    result = await natural.insert_recursive()
    assert [type(each) for each in result.created_documents] == [Part, Part, Natural]
    assert sorted(each["_id"] for each in await stored(Part)) == sorted(ids)
    assert await result.rollback() == 3
    assert natural.id == "key" and [each.id for each in natural.parts] == ids


# -- failures


async def taken(position: str) -> Any:
    """Put a document in the way of one on the given level; the tree's document is returned."""
    top = tree()
    blocked: Any = {
        "first": top.middles[0].leaves[0],
        "last leaf": top.middles[1].leaves[2],
        "middle": top.middles[1],
        "last": top,
    }[position]
    cls = type(blocked)
    await cls.get_collection().create_index({"number": 1}, unique=True)
    await cls(number=blocked.number).insert()
    return top, blocked


async def inserted_in_transaction(top: Top) -> None:
    async with transaction():
        await top.insert_recursive()


@pytest.mark.parametrize("position", ["first", "last leaf", "middle", "last"])
@pytest.mark.parametrize("inside", [False, True])
async def test_a_duplicate_key_at_every_position_leaves_nothing_behind(
    bind: Bind, mongo_proxy: FaultProxy, position: str, inside: bool
) -> None:
    await bind(*TREE)
    top, blocked = await taken(position)
    before = await counts(*TREE)
    assert sum(before) == 1
    with mongo_proxy.recording() as seen, pytest.raises(RecursiveInsertError) as raised:
        await (inserted_in_transaction(top) if inside else top.insert_recursive())
    assert await counts(*TREE) == before
    error = raised.value
    cause = error.__cause__
    assert cause is not None and "11000" in f"{getattr(cause, 'code', cause)} {cause}"
    assert [each._id for each in everything(top)] == [None] * 9
    assert blocked not in error.result.created_documents
    assert error.outcome == "not_applied" and error.rollback_error is None and error.unknown == []
    if position == "last":
        assert len(error.result.created_documents) == 8
    deletes = [each for each in seen if each.name == "delete"]
    assert bool(deletes) == (not inside and position != "first")
    # nothing in the way any more: the same graph can be inserted
    await type(blocked).get_collection().delete_many({})
    result = await top.insert_recursive()
    assert len(result.created_documents) == 9


class Raising(MongoDocument):
    name: str
    next: "Raising | None" = None

    def __pre_save__(self) -> None:
        if self.name == "bad":
            raise ZeroDivisionError


async def test_a_hook_that_raises_stops_before_anything_is_sent(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Raising)
    root = Raising(name="fine", next=Raising(name="fine", next=Raising(name="bad")))
    with mongo_proxy.recording() as seen, pytest.raises(ZeroDivisionError):
        await root.insert_recursive()
    assert seen == [] and root._id is None


class Adding(MongoDocument):
    name: str
    next: "Adding | None" = None

    async def __pre_save__(self) -> None:
        if self.name == "root" and self.next is None:
            self.next = Adding(name="added")
        self.name += "!"


async def test_what_a_hook_adds_is_inserted_too(bind: Bind) -> None:
    await bind(Adding)
    result = await Adding(name="root").insert_recursive()
    assert [each.name for each in result.created_documents] == ["added!", "root!"]


async def test_a_document_that_does_not_fit_stops_before_anything_is_sent(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*TREE)
    top = tree()
    top.number = "x"  # type: ignore[assignment]
    with mongo_proxy.recording() as seen, pytest.raises(DocumentValidationError, match="Top"):
        await top.insert_recursive()
    assert seen == [] and [each._id for each in everything(top)] == [None] * 9


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("at", ["request", "reply"])
async def test_a_cancellation_leaves_nothing_behind(
    bind: Bind, mongo_proxy: FaultProxy, level: int, at: Any
) -> None:
    await bind(*TREE)
    top = tree()
    with mongo_proxy.delay("insert", 0.3, at=at, skip=level) as rule:
        task = asyncio.create_task(top.insert_recursive())
        await rule.reached()
        task.cancel()
        await asyncio.sleep(0.05)
        task.cancel()  # a second one does not break the clean-up off
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await counts(*TREE) == [0, 0, 0]
    assert [each._id for each in everything(top)] == [None] * 9


async def test_a_cancellation_does_not_break_the_clean_up_off(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*TREE)
    top, _ = await taken("last")
    with mongo_proxy.delay("delete", 0.2, at="request") as rule:
        task = asyncio.create_task(top.insert_recursive())
        await rule.reached()
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.05)
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await counts(*TREE) == [0, 0, 1]
    assert [each._id for each in everything(top)] == [None] * 9


async def test_a_cancellation_does_not_break_a_rollback_off(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*TREE)
    top = tree()
    result = await top.insert_recursive()
    refused = mongo_proxy.fail("delete", 13, where=lambda command: command.collection == "Leaf")
    with refused, mongo_proxy.delay("delete", 0.2) as rule:
        task = asyncio.create_task(result.rollback())
        await rule.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
    assert isinstance(raised.value.__cause__, RecursiveRollbackError)
    assert await counts(*TREE) == [6, 0, 0]
    assert await result.rollback() == 6


async def test_a_cancellation_inside_a_transaction_is_its_rollback(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*TREE)
    await asyncio.gather(*(each(number=99).insert() for each in TREE))
    top = tree()

    async def work() -> None:
        async with transaction():
            await top.insert_recursive()

    with mongo_proxy.delay("insert", 0.3, skip=1) as rule, mongo_proxy.recording() as seen:
        task = asyncio.create_task(work())
        await rule.reached()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await counts(*TREE) == [1, 1, 1]
    assert [each._id for each in everything(top)] == [None] * 9
    assert "delete" not in {each.name for each in seen}


async def test_a_committed_transaction_keeps_the_graph(bind: Bind) -> None:
    await bind(*TREE)
    top = tree()
    async with transaction():
        result = await top.insert_recursive()
    assert await counts(*TREE) == [6, 2, 1]
    assert await result.rollback() == 9


async def test_an_aborted_transaction_takes_the_ids_back(bind: Bind) -> None:
    await bind(*TREE)
    top = tree()

    async def work() -> None:
        async with transaction():
            await top.insert_recursive()
            assert top._id is not None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert await counts(*TREE) == [0, 0, 0]
    assert [each._id for each in everything(top)] == [None] * 9


async def test_a_lost_reply_is_an_unknown_outcome_that_a_later_rollback_cleans_up(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*TREE)
    top = tree()
    with (
        mongo_proxy.cut("insert", at="reply", where=lambda command: command.collection == "Middle"),
        mongo_proxy.cut("delete") as deletes,
    ):
        with pytest.raises(RecursiveInsertError) as raised:
            await top.insert_recursive()
        await deletes.reached(1)  # after it no server is known, so no other is sent
    error = raised.value
    assert error.outcome == "unknown" and error.rollback_error is not None
    assert error.result.created_documents == everything(top)[:6]
    assert error.unknown == everything(top)[:8]
    assert await counts(*TREE) == [6, 2, 0]
    assert top._id is None  # certainly not sent
    assert all(each._id is not None for each in error.unknown)
    assert await error.result.rollback() == 8
    assert await counts(*TREE) == [0, 0, 0]
    assert [each._id for each in everything(top)] == [None] * 9
    assert await error.result.rollback() == 0


async def test_an_unknown_batch_keeps_its_ids_also_where_the_clean_up_worked(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*TREE)
    top = tree()
    with (
        mongo_proxy.cut("insert", at="reply", where=lambda command: command.collection == "Middle"),
        pytest.raises(RecursiveInsertError) as raised,
    ):
        await top.insert_recursive()
    error = raised.value
    assert error.outcome == "unknown" and error.rollback_error is None
    assert error.unknown == top.middles and all(each._id for each in top.middles)
    assert [each._id for each in everything(top)[:6]] == [None] * 6
    assert await counts(*TREE) == [0, 0, 0]
    assert await error.result.rollback() == 0


async def test_compensation_never_deletes_a_document_that_was_there_before(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Natural, Part)
    theirs = Natural(_id="key", parts=[])
    await theirs.insert()
    ours = Natural(_id="key", parts=[Part(number=1)])
    with pytest.raises(RecursiveInsertError):  # a duplicate key
        await ours.insert_recursive()
    assert await counts(Natural, Part) == [1, 0]
    # The request is lost, so nobody knows whether "key" is ours: it is not what we sent.
    with (
        mongo_proxy.cut("insert", where=lambda command: command.collection == "Natural"),
        pytest.raises(RecursiveInsertError) as raised,
    ):
        await ours.insert_recursive()
    assert raised.value.outcome == "unknown" and raised.value.unknown == [ours]
    await raised.value.result.rollback()
    assert [each["parts"] for each in await stored(Natural)] == [[]]


async def test_a_failed_rollback_is_named_and_can_be_repeated(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*TREE)
    top = tree()
    result = await top.insert_recursive()
    with (
        mongo_proxy.fail("delete", 13, where=lambda command: command.collection == "Middle"),
        pytest.raises(RecursiveRollbackError) as raised,
    ):
        await result.rollback()
    error = raised.value
    assert [(each.document_class, each.documents) for each in error.failures] == [
        (Middle, top.middles[::-1])
    ]
    assert error.deleted_count == 7 and error.__cause__ is error.failures[0].error
    assert await counts(*TREE) == [0, 2, 0]
    assert await result.rollback() == 2
    assert await counts(*TREE) == [0, 0, 0]


async def test_a_rollback_inside_an_aborted_transaction_did_not_happen(bind: Bind) -> None:
    await bind(*TREE)
    top = tree()
    result = await top.insert_recursive()

    async def work() -> None:
        async with transaction():
            assert await result.rollback() == 9
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert await counts(*TREE) == [6, 2, 1]
    assert all(each._id is not None for each in everything(top)) and changes(top) == {}


async def test_time_that_ran_out_is_not_the_time_of_the_clean_up(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*TREE)
    top = tree()
    with (
        mongo_proxy.stall("insert", where=lambda command: command.collection == "Top"),
        pytest.raises(RecursiveInsertError) as raised,
    ):
        await top.insert_recursive(timeout=1.0)
    assert isinstance(raised.value.__cause__, OperationTimeoutError)
    assert raised.value.unknown == [top] and raised.value.outcome == "unknown"
    assert (await counts(*TREE))[:2] == [0, 0]


async def test_the_clean_up_is_not_bound_by_the_time_of_the_block(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*TREE)
    top = tree()
    with (
        mongo_proxy.stall("insert", where=lambda command: command.collection == "Top"),
        pytest.raises(RecursiveInsertError) as raised,
        timeout(1.0),
    ):
        await top.insert_recursive()
    assert raised.value.rollback_error is None
    assert (await counts(*TREE))[:2] == [0, 0]


@pytest.mark.parametrize("way", ["block", "option", "cancelled", "asyncio"])
async def test_on_a_server_that_hangs_it_ends_soon_and_says_what_may_be_left(
    bind: Bind, mongo_proxy: FaultProxy, way: str
) -> None:
    await bind(*TREE)
    top = tree()
    loop = asyncio.get_running_loop()
    with mongo_proxy.stall(("insert", "delete"), skip=1) as rule:
        start = loop.time()
        if way == "asyncio":
            with pytest.raises(TimeoutError) as raised:
                async with asyncio.timeout(0.3):
                    await top.insert_recursive()
            said = "".join(getattr(raised.value.__cause__, "__notes__", ()))
        elif way == "cancelled":
            task = asyncio.create_task(top.insert_recursive())
            await rule.reached()
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await task
            said = "".join(cancelled.value.__notes__)
        else:
            options: Any = {"timeout": 0.3} if way == "option" else {}
            with timeout(0.3), pytest.raises(RecursiveInsertError) as failed:
                await top.insert_recursive(**options)
            assert failed.value.outcome == "unknown" and failed.value.rollback_error is not None
            assert failed.value.unknown == everything(top)[:8]
            said = str(failed.value)
        assert loop.time() - start < 4
    assert "8 documents may be in the database" in said


async def test_what_an_unanswered_rollback_may_have_deleted_does_not_count_as_stored(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*TREE)
    top = tree()
    result = await top.insert_recursive()
    with (
        mongo_proxy.cut("delete", at="reply", where=lambda command: command.collection == "Leaf"),
        pytest.raises(RecursiveRollbackError),
    ):
        await result.rollback(timeout=1)
    leaf = top.middles[0].leaves[0]
    assert leaf._id is not None and changes(leaf) != {}
    assert await counts(*TREE) == [0, 0, 0]
    with pytest.raises(DocumentNotFoundError):
        await leaf.save()
    await result.rollback()
    assert [each._id for each in everything(top)] == [None] * 9
    assert len((await top.insert_recursive()).created_documents) == 9


async def repeated(result: RecursiveInsertResult[Any]) -> int:
    """Roll back until it works: the driver needs a moment to see that the server is back."""
    deleted = 0
    for _ in range(20):
        try:
            return deleted + await result.rollback()
        except RecursiveRollbackError as error:
            deleted += error.deleted_count
    raise AssertionError("the server did not come back")


async def test_with_the_server_gone_the_ids_that_may_exist_are_kept(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    more = "&" if "?" in mongo_proxy.uri else "?"
    client = await mongojet.create_client(f"{mongo_proxy.uri}{more}serverSelectionTimeoutMS=500")
    await init(client.get_database(mongo_db.name), TREE)
    try:
        top = tree()
        gone = mongo_proxy.cut(at="reply", where=lambda command: command.collection == "Middle")
        with gone, mongo_proxy.cut("delete"), pytest.raises(RecursiveInsertError) as raised:
            task = asyncio.create_task(top.insert_recursive())
            await gone.reached()
            mongo_proxy.cut(monitoring=True)
            mongo_proxy.disconnect()
            await task
        error = raised.value
        assert error.outcome == "unknown" and error.rollback_error is not None
        assert error.unknown == everything(top)[:8]
        assert all(each._id is not None for each in error.unknown) and top._id is None
        with pytest.raises(RecursiveRollbackError):
            await error.result.rollback()
        mongo_proxy.clear()
        assert await repeated(error.result) == 8
        assert [each._id for each in everything(top)] == [None] * 9
    finally:
        await close()


async def test_in_a_foreign_transaction_nobody_can_say_what_became_of_it(
    bind: Bind, mongo_client: mongojet.Client
) -> None:
    await bind(*TREE)
    top, _ = await taken("last")
    session = await mongo_client.start_session()
    await session.start_transaction()
    with pytest.raises(RecursiveInsertError) as raised:
        await top.insert_recursive(session=session)
    await session.abort_transaction()
    assert raised.value.outcome == "unknown" and len(raised.value.unknown) == 8
    assert await counts(*TREE) == [0, 0, 1]
    assert await raised.value.result.rollback() == 0
    assert [each._id for each in everything(top)] == [None] * 9


async def test_inserting_a_stored_document_again_is_a_duplicate_key(bind: Bind) -> None:
    await bind(*BLOG)
    user = await User(name="a").insert()
    with pytest.raises(RecursiveInsertError) as raised:
        await user.insert_recursive()
    cause = raised.value.__cause__
    assert isinstance(cause, DuplicateKeyError) or "E11000" in str(cause)
    assert await stored(User) == [{"_id": user.id, "name": "a", "age": 0, "employer": None}]
    assert isinstance(user._id, ObjectId)

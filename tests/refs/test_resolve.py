"""Reads resolve references: how many queries, which objects, how deep."""

import copy
import gc
import itertools
import pickle
import weakref
from typing import Any

import mongojet
import msgspec
import pytest
from bson import ObjectId

from mongospec_core import (
    DocumentValidationError,
    InvalidDocument,
    OperationError,
    OptionError,
    changes,
    close,
    init,
    transaction,
)
from mongospec_refs import MongoDocument, UnresolvedReferenceError, is_resolved, resolve
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.blog import BLOG, Company, Owned, Person, Post, Tag, User


async def many_posts(count: int) -> None:
    users = [User(name=f"u{number}") for number in range(40)]
    tags = [Tag(label=f"t{number}") for number in range(10)]
    await User.insert_many(users)
    await Tag.insert_many(tags)
    await Post.insert_many(
        [
            Post(
                title=f"p{number}",
                author=users[number % 40],
                reviewer=users[(number * 7) % 40],
                tags=[tags[(number + each) % 10] for each in range(3)],
            )
            for number in range(count)
        ]
    )


async def test_a_thousand_posts_take_one_query_and_one_for_each_referenced_class(
    bind: Bind, max_queries: Any
) -> None:
    await bind(*BLOG)
    await many_posts(1_000)
    with max_queries(3) as seen:
        posts = await Post.find_all(sort="_id")
    assert len(posts) == 1_000
    names = [each.name for each in seen.commands]
    assert names.count("find") == 3 and names.count("getMore") <= 1  # the root's own
    assert next(each.collection for each in seen.commands if each.name == "find") == "posts"
    assert [each.author.name for each in posts[:3]] == ["u0", "u1", "u2"]
    assert posts[0].author is posts[40].author  # one id, one object
    assert len({id(each.author) for each in posts}) == 40
    assert [each.label for each in posts[9].tags] == ["t9", "t0", "t1"]


async def test_a_cursor_asks_once_for_each_class_and_batch(bind: Bind, max_queries: Any) -> None:
    await bind(*BLOG)
    await many_posts(250)
    with max_queries(1 + 3 * 2) as seen:
        posts = [each async for each in Post.find(batch_size=100)]
    assert len(posts) == 250 and all(is_resolved(each.author) for each in posts)
    assert sum(each.collection == "users" for each in seen.commands) == 3
    assert len({id(each.author) for each in posts[:100]}) == 40


async def test_three_levels_take_four_queries(bind: Bind, max_queries: Any) -> None:
    class Third(MongoDocument):
        number: int

    class Second(MongoDocument):
        third: Third

    class First(MongoDocument):
        second: Second

    class Root(MongoDocument):
        first: First

    await bind(Third, Second, First, Root)
    thirds = [Third(number=each) for each in range(100)]
    await Third.insert_many(thirds)
    seconds = [Second(third=each) for each in thirds]
    await Second.insert_many(seconds)
    firsts = [First(second=each) for each in seconds]
    await First.insert_many(firsts)
    await Root.insert_many([Root(first=each) for each in firsts])
    with max_queries(4):
        roots = await Root.find_all()
    assert sorted(each.first.second.third.number for each in roots) == list(range(100))
    with max_queries(4):
        (one,) = [await Root.find_one()]
    assert one is not None and one.first.second.third.number in range(100)


async def test_documents_without_references_ask_nothing_more(bind: Bind, max_queries: Any) -> None:
    await bind(*BLOG)
    await User(name="a").insert()
    with max_queries(1):
        assert len(await User.find_all()) == 1


async def test_every_reading_verb_resolves(bind: Bind) -> None:
    await bind(*BLOG)
    user = await User(name="a").insert()
    post = await Post(title="x", author=user).insert()
    found = [
        await Post.find_one({"title": "x"}),
        await Post.find_by_id(post.id),
        (await Post.find_all())[0],
        (await Post.find().to_list(5))[0],
        await Post.find_one_and_update({"title": "x"}, {"$set": {"title": "x"}}),
        await Post.find_one_and_replace({"title": "x"}, Post(title="x", author=user)),
        (await Post.aggregate([{"$match": {}}], into=Post).to_list())[0],
        await Post.find_one_and_delete({"title": "x"}),
    ]
    for each in found:
        assert each is not None and each.author.name == "a" and each.author is not user


async def test_every_reading_verb_can_leave_references_alone(bind: Bind, max_queries: Any) -> None:
    await bind(*BLOG)
    user = await User(name="a").insert()
    post = await Post(title="x", author=user).insert()
    with max_queries(4):
        found = [
            await Post.find_one({"title": "x"}, resolve_refs=False),
            await Post.find_by_id(post.id, resolve_refs=False),
            (await Post.find_all(resolve_refs=False))[0],
            (await Post.find(resolve_refs=False).to_list(5))[0],
            await Post.find_one_and_update(
                {"title": "x"}, {"$set": {"title": "x"}}, resolve_refs=False
            ),
            await Post.find_one_and_replace(
                {"title": "x"}, Post(title="x", author=user), resolve_refs=False
            ),
            await Post.find_one_and_delete({"title": "x"}, ref_depth=0),
        ]
    for each in found:
        assert each is not None and not is_resolved(each.author) and each.author.id == user.id


# -- cycles and depth


async def circle() -> tuple[Person, Person]:
    """a -> b -> a, and a -> a."""
    a = await Person(name="a").insert()
    b = await Person(name="b", friend=a).insert()
    a.friend = b
    a.others = [a]
    await a.save()
    return a, b


async def test_a_cycle_is_read_saved_compared_printed_and_copied(bind: Bind) -> None:
    await bind(Person)
    a, _ = await circle()
    (read,) = await Person.find_all({"name": "a"})
    assert read.friend is not None and read.friend.friend is read and read.others == [read]
    assert read == a and a == read and read != read.friend
    assert "friend=Person(" in repr(read) and "..." in repr(read)
    read.name = "c"
    read.friend.name = "d"
    await read.save()
    assert [each["name"] for each in await stored(Person)] == ["c", "d"]
    for twin in (copy.copy(read), copy.deepcopy(read), pickle.loads(pickle.dumps(read))):
        assert twin == read and twin is not read
        await twin.save()  # it knows that nothing changed
    deep = copy.deepcopy(read)
    assert deep.friend is not None and deep.friend.friend is deep


class Ring(MongoDocument, frozen=True, weakref=True):
    """Nothing in it but strings, which msgspec keeps out of the garbage collector."""

    _id: str
    next: "Ring | None" = None


async def test_documents_in_a_cycle_are_freed(bind: Bind) -> None:
    await bind(Ring)
    await Ring.get_collection().insert_many([{"_id": "a", "next": "b"}, {"_id": "b", "next": "a"}])
    ring = await Ring.find_one({"_id": "a"})
    assert ring is not None and ring.next is not None and ring.next.next is ring
    one, other = weakref.ref(ring), weakref.ref(ring.next)
    del ring
    gc.collect()
    assert one() is None and other() is None


@pytest.mark.parametrize("depth", [0, 1, 2, None])
async def test_a_cycle_read_to_any_depth_is_saved_compared_and_printed(
    bind: Bind, mongo_proxy: FaultProxy, depth: int | None
) -> None:
    await bind(Person)
    a, b = await circle()
    before = await stored(Person)
    (read,) = await Person.find_all({"name": "a"}, ref_depth=depth)
    assert read == a and a == read and read != b and str(a.id) in repr(read)
    with mongo_proxy.recording() as seen:
        await read.save()
    assert seen == [] and await stored(Person) == before
    read.name = "c"
    await read.save()
    assert await stored(Person) == [{**before[0], "name": "c"}, before[1]]
    assert read != a and copy.deepcopy(read) == read and pickle.loads(pickle.dumps(read)) == read


async def test_roots_that_refer_to_each_other_are_the_objects_in_each_other(
    bind: Bind, max_queries: Any
) -> None:
    await bind(Person)
    await circle()
    with max_queries(1):
        a, b = await Person.find_all(sort="name")
    assert a.friend is b and b.friend is a and a.others[0] is a
    for each in (a, b):
        each.name *= 2
    await a.save()
    assert [each["name"] for each in await stored(Person)] == ["aa", "bb"]


async def test_unresolved_reads_leave_references_among_the_roots_unresolved(bind: Bind) -> None:
    await bind(Person)
    await circle()
    a, b = await Person.find_all(sort="name", resolve_refs=False)
    assert a.friend is not None and not is_resolved(a.friend) and a.friend.id == b.id
    assert not is_resolved(a.others[0]) and a.others[0] == a and a == a.others[0]


async def test_ref_depth_limits_the_levels(bind: Bind, max_queries: Any) -> None:
    await bind(Person)
    people = [Person(name=f"p{number}") for number in range(5)]
    for one, next_one in itertools.pairwise(people):
        one.friend = next_one
    await people[0].insert_recursive()
    for depth in range(5):
        with max_queries(1 + depth):
            person = await Person.find_one({"name": "p0"}, ref_depth=depth)
        for _ in range(depth):
            assert person is not None
            person = person.friend
            assert person is not None and is_resolved(person)
        if depth < 4:
            assert person is not None and person.friend is not None
            assert not is_resolved(person.friend)
            with pytest.raises(UnresolvedReferenceError):
                _ = person.friend.name


async def test_a_limited_depth_still_knows_the_documents_that_it_has(bind: Bind) -> None:
    await bind(Person)
    await circle()
    a = await Person.find_one({"name": "a"}, ref_depth=1)
    assert a is not None and a.friend is not None and a.friend.friend is a


async def test_a_long_chain_is_read_and_saved_without_recursion(bind: Bind) -> None:
    await bind(Person)
    length = 300
    people = [Person(name=f"p{number}") for number in range(length)]
    for one, next_one in itertools.pairwise(people):
        one.friend = next_one
    result = await people[0].insert_recursive()
    assert len(result.created_documents) == length
    person = await Person.find_one({"name": "p0"})
    count = 0
    last = person
    while last is not None:
        count, end, last = count + 1, last, last.friend
    assert count == length and person is not None
    end.name = "changed"
    await person.save()
    assert await Person.count({"name": "changed"}) == 1


async def test_only_what_reads_documents_offers_to_resolve_references(bind: Bind) -> None:
    await bind(*BLOG)
    unknown: Any = {"nope": 1}
    for read in (Post.find, Post.find_one, Post.find_all, Post.get_by_id, Post.page):
        with pytest.raises(OptionError, match=r"it takes .*\bref_depth.*\bresolve_refs"):
            found = read({}, **unknown) if read != Post.get_by_id else read(ObjectId(), **unknown)
            await found
    with pytest.raises(OptionError, match=r"it takes (?!.*ref_depth)"):
        await Post.count({}, **unknown)
    with pytest.raises(OptionError, match="does not take ref_depth="):
        await Post.count({}, ref_depth=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def test_nonsense_is_refused_before_anything_is_sent(bind: Bind, max_queries: Any) -> None:
    await bind(*BLOG)
    with max_queries(0):
        with pytest.raises(OptionError, match="resolve_refs='no'"):
            await Post.find_all(resolve_refs="no")  # type: ignore[call-overload]
        with pytest.raises(OptionError, match="ref_depth=-1"):
            await Post.find_one(ref_depth=-1)


# -- what goes with the queries


async def test_a_session_reaches_the_reference_queries(
    bind: Bind, mongo_client: mongojet.Client, mongo_proxy: FaultProxy
) -> None:
    await bind(*BLOG)
    await many_posts(10)
    session = await mongo_client.start_session()
    with mongo_proxy.recording() as seen:
        posts = await Post.find_all(session=session)
        _ = [each async for each in Post.find(session=session)]
    assert is_resolved(posts[0].author)
    finds = [each for each in seen if each.name == "find"]
    assert len(finds) == 6 and len({each.body["lsid"]["id"] for each in finds}) == 1


async def test_a_transaction_in_a_session_reads_its_own_writes_in_references(
    bind: Bind, mongo_client: mongojet.Client
) -> None:
    await bind(*BLOG)
    session = await mongo_client.start_session()
    await session.start_transaction()
    user = await User(name="inside").insert(session=session)
    await Post(title="x", author=user).insert(session=session)
    (post,) = await Post.find_all(session=session)
    assert post.author.name == "inside"
    await session.abort_transaction()
    assert await Post.find_all() == []


async def test_our_transaction_reaches_the_reference_queries(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*BLOG)
    await many_posts(10)
    with mongo_proxy.recording() as seen:
        async with transaction():
            user = await User(name="inside").insert()
            await Post(title="new", author=user).insert()
            posts = await Post.find_all({"title": {"$in": ["new", "p0"]}}, sort="title")
            assert [each.author.name for each in posts] == ["inside", "u0"]
            fetched = await User.ref(user.id).fetch()
            assert fetched.name == "inside"
    finds = [each for each in seen if each.name == "find"]
    assert len(finds) == 4 and len({each.body["txnNumber"] for each in finds}) == 1


async def test_a_read_preference_and_a_comment_reach_the_reference_queries(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*BLOG)
    await many_posts(3)
    with mongo_proxy.recording() as seen:
        await Post.find_all(comment="mine", read_preference={"mode": "primaryPreferred"})
    finds = [each for each in seen if each.name == "find"]
    assert len(finds) == 3 and {each.body["comment"] for each in finds} == {"mine"}


async def test_what_a_secondary_does_not_have_is_asked_once_more_of_the_primary(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*BLOG)
    user = await User(name="a").insert()
    await Post(title="x", author=user).insert()

    def lagging(reply: dict[str, Any]) -> dict[str, Any]:
        reply["cursor"]["firstBatch"] = []
        return reply

    late = mongo_proxy.rewrite(
        "find", lagging, where=lambda command: command.collection == "users", times=1
    )
    with late, mongo_proxy.recording() as seen:
        post = await Post.find_one({}, read_preference={"mode": "secondaryPreferred"})
    assert post is not None and post.author.name == "a"
    assert sum(each.collection == "users" for each in seen) == 2


async def test_a_read_preference_of_the_client_counts_as_well(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    more = "&" if "?" in mongo_proxy.uri else "?"
    client = await mongojet.create_client(
        f"{mongo_proxy.uri}{more}readPreference=secondaryPreferred"
    )
    await init(client.get_database(mongo_db.name), BLOG)
    try:
        await Post(title="x", author=User.ref(ObjectId())).insert()
        with mongo_proxy.recording() as seen:
            (post,) = await Post.find_all()
        assert not is_resolved(post.author)
        assert sum(each.collection == "users" for each in seen) == 2
        with mongo_proxy.recording() as seen:
            async with transaction():
                await Post.find_all()
        assert sum(each.collection == "users" for each in seen) == 1  # it reads from the primary
    finally:
        await close()


async def test_the_scope_of_the_target_does_not_touch_references(bind: Bind) -> None:
    class Holder(MongoDocument):
        owned: Owned

    await bind(Owned, Holder)
    await Holder(owned=await Owned(tenant="other", name="x").insert()).insert()
    assert await Owned.find_all() == []
    (holder,) = await Holder.find_all()
    assert holder.owned.name == "x"


async def test_the_references_need_no_get_more(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(*BLOG)
    users = [User(name=f"u{number}") for number in range(1_500)]
    await User.insert_many(users)
    await Post(title="x", author=users[0]).insert()
    many = Post(title="many", author=users[1])
    await many.insert()

    class Crowd(MongoDocument):
        users: list[User]

    await bind(Crowd)
    await Crowd(users=users).insert()
    with mongo_proxy.recording() as seen:
        (crowd,) = await Crowd.find_all()
    assert [each.name for each in seen] == ["find", "find"]
    assert [each.name for each in crowd.users] == [each.name for each in users]


async def test_more_ids_than_a_query_should_hold_are_cut(
    bind: Bind, mongo_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bind(*BLOG)
    await many_posts(40)
    monkeypatch.setattr(resolve, "_MOST_BYTES", 400)
    with mongo_proxy.recording() as seen:
        posts = await Post.find_all()
    assert all(is_resolved(each.author) for each in posts)
    assert sum(each.collection == "users" for each in seen) == 2


async def test_a_failing_reference_query_is_its_own_error(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(*BLOG)
    await many_posts(3)
    with (
        mongo_proxy.fail("find", 13, where=lambda command: command.collection == "tags"),
        pytest.raises(OperationError, match=r"Post\.find_all: Tag") as raised,
    ):
        await Post.find_all()
    assert raised.value.code == 13
    # a cursor can be read on
    cursor = Post.find()
    with (
        mongo_proxy.fail("find", 13, where=lambda command: command.collection == "tags", times=1),
        pytest.raises(OperationError),
    ):
        await cursor.to_list(10)
    assert len(await cursor.to_list(10)) == 3


# -- documents that do not fit


async def test_a_referenced_document_that_does_not_fit_is_named_with_its_path(bind: Bind) -> None:
    await bind(*BLOG)
    users = await bind_users(2)
    post = await Post(title="x", author=users[0], reviewer=users[1]).insert()
    await User.get_collection().update_one({"_id": users[1].id}, {"$set": {"age": "old"}})
    with pytest.raises(DocumentValidationError) as raised:
        await Post.find_all()
    error = raised.value
    assert error.document_class is Post and error.id == post.id and error.path == "reviewer.age"
    assert str(users[1].id) in str(error) and "User" in str(error)
    assert [each.path for each in error.failures] == ["reviewer.age"]


async def bind_users(count: int) -> list[User]:
    users = [User(name=f"u{number}") for number in range(count)]
    await User.insert_many(users)
    return users


async def test_a_referenced_document_that_does_not_fit_may_stay_unresolved(bind: Bind) -> None:
    await bind(*BLOG)
    users = await bind_users(2)
    await Post(title="x", author=users[0], reviewer=users[1]).insert()
    await User.get_collection().update_one({"_id": users[1].id}, {"$set": {"age": "old"}})
    (post,) = await Post.find_all(on_invalid="skip")
    assert post.author.name == "u0" and post.reviewer is not None
    assert not is_resolved(post.reviewer) and type(post.reviewer).__name__ == "User[unresolved]"
    told: list[InvalidDocument] = []

    def note(failure: InvalidDocument, raw: Any) -> None:
        told.append(failure)

    (post,) = await Post.find_all(on_invalid=note)
    assert [each.id for each in told] == [users[1].id]
    assert post.reviewer is not None and not is_resolved(post.reviewer)


async def test_deep_failures_carry_the_path_from_the_root(bind: Bind) -> None:
    await bind(*BLOG)
    company = await Company(name="c").insert()
    user = await User(name="a", employer=company).insert()
    await Post(title="x", author=user).insert()
    await Company.get_collection().update_one({"_id": company.id}, {"$set": {"name": 1}})
    with pytest.raises(DocumentValidationError) as raised:
        await Post.find_all()
    assert raised.value.path == "author.employer.name"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"name": "embedded"}, "embedded copy of a User"),
        ({"$ref": "users", "$id": 1}, "DBRef"),
        ("text", "got `str`"),
        (None, "got `null`"),
    ],
)
async def test_a_stored_value_that_is_no_id_is_named_for_what_it_looks_like(
    bind: Bind, value: Any, says: str
) -> None:
    await bind(*BLOG)
    await Post.get_collection().insert_one({"title": "x", "author": value})
    with pytest.raises(DocumentValidationError) as raised:
        await Post.find_all()
    assert raised.value.path == "author" and says in raised.value.reason
    assert await Post.find_all(on_invalid="skip") == []


async def test_null_in_a_list_of_references_is_no_reference(bind: Bind) -> None:
    await bind(*BLOG)
    user = await User(name="a").insert()
    await Post.get_collection().insert_one({"title": "x", "author": user.id, "tags": [None]})
    with pytest.raises(DocumentValidationError, match=r"tags\[0\].*null"):
        await Post.find_all()
    with pytest.raises(DocumentValidationError, match=r"tags\[0\]"):
        await Post(title="y", author=user, tags=[None]).insert()  # type: ignore[list-item]


async def test_old_referenced_documents_are_upgraded(bind: Bind) -> None:
    class Old(MongoDocument):
        full_name: str

        @classmethod
        def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
            if "name" in raw:
                raw["full_name"] = raw.pop("name")
            return raw

    class Holder(MongoDocument):
        old: Old

    await bind(Old, Holder)
    old = await Old(full_name="x").insert()
    await Holder(old=old).insert()
    await Old.get_collection().update_one({"_id": old.id}, {"$rename": {"full_name": "name"}})
    (holder,) = await Holder.find_all()
    assert holder.old.full_name == "x"


async def test_references_that_an_aborted_transaction_read_are_not_taken_for_stored(
    bind: Bind,
) -> None:
    class UnsureUser(MongoDocument):
        name: str

    class UnsurePost(MongoDocument):
        author: UnsureUser

    await bind(UnsureUser, UnsurePost)
    author = await UnsureUser(name="a").insert()
    await UnsurePost(author=author).insert()
    with pytest.raises(ZeroDivisionError):
        async with transaction():
            await UnsureUser.update_by_id(author.id, {"$set": {"name": "b"}})
            post = await UnsurePost.find_one()
            raise ZeroDivisionError
    assert post is not None
    assert post.author.name == "b"
    assert changes(post.author) == {"name": "b"}


class Credit(msgspec.Struct):
    role: str
    user: User


class Film(MongoDocument):
    title: str
    lead: User | None = None
    crew: list[User] = []
    credit: Credit | None = None
    roles: dict[str, User] = {}


async def test_distinct_values_of_references_are_unresolved_references_of_this_call(
    bind: Bind, max_queries: Any
) -> None:
    await bind(*BLOG, Film)
    one, two = await User(name="one").insert(), await User(name="two").insert()
    credit = Credit("editor", two)
    await Film(title="a", lead=one, crew=[one, two], credit=credit, roles={"x": one}).insert()
    await Film(title="b", lead=one, crew=[two]).insert()
    with max_queries(5):
        (lead,) = [each for each in await Film.distinct("lead") if each is not None]
        crew = await Film.distinct("crew")
        (nested,) = [each for each in await Film.distinct("credit") if each is not None]
        (keyed,) = [each for each in await Film.distinct("roles") if each]
        ids = await Film.distinct("credit.user")
    assert lead == one and {each.id for each in crew} == {one.id, two.id}
    assert nested.user == two and keyed["x"] == one and ids == [two.id]
    for reference in (lead, *crew, nested.user, keyed["x"]):
        assert type(reference).__name__ == "User[unresolved]" and not is_resolved(reference)
        with pytest.raises(UnresolvedReferenceError):
            _ = reference.name
    again = next(each for each in await Film.distinct("lead") if each is not None)
    assert again is not lead  # nothing is shared by two calls
    await lead.fetch()
    assert lead.name == "one" and not is_resolved(again)


class Name(msgspec.Struct):
    name: str


class AuthorCard(msgspec.Struct):
    title: str
    author: Name


class CrewCard(msgspec.Struct):
    crew: list[Name]


class CreditCard(msgspec.Struct):
    credit: Credit | None


async def test_a_projection_into_a_reference_is_refused_with_the_way_out(bind: Bind) -> None:
    await bind(*BLOG, Film)
    author = await User(name="u").insert()
    await Post(title="t", author=author).insert()
    await Film(title="a", crew=[author], credit=Credit("editor", author)).insert()
    with pytest.raises(OptionError, match=r"AuthorCard\.author: Post\.author is a reference"):
        await Post.find_one({}, projection=AuthorCard)
    with pytest.raises(OptionError, match=r"CrewCard\.crew: Film\.crew is a reference.*lookup"):
        await Film.find_all({}, projection=CrewCard)
    (card,) = await Film.find_all({}, projection=CreditCard)  # references in a Struct are fine
    assert card.credit is not None and card.credit.user.name == "u"
    lookup = {"from": "users", "localField": "author", "foreignField": "_id", "as": "author"}
    joined = Post.aggregate([{"$lookup": lookup}, {"$unwind": "$author"}], into=AuthorCard)
    assert [each.author.name async for each in joined] == ["u"]

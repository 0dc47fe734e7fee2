"""Classes and databases: init, connect, close, and what lies outside of them."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import mongojet
import pytest
from mongojet import IndexModel

from mongospec_core import (
    DefinitionError,
    IndexConflictError,
    MongoDocument,
    MongospecError,
    NotBoundError,
    OptionError,
    ServerUnavailableError,
    close,
    connect,
    init,
)
from mongospec_testing import FaultProxy, MongoServer
from tests.conftest import Bind
from tests.subprocesses import without_coverage
from tests.zoo.people import Account, Numbered, Person


class Child(Person):
    __collection_name__ = "children"
    toy: str = ""


@pytest.fixture
async def second_db(
    mongo_client: mongojet.Client, mongo_db: mongojet.Database
) -> AsyncIterator[mongojet.Database]:
    db = mongo_client[f"{mongo_db.name}_second"]
    yield db
    await db.drop()


def each_use(cls: Any, document: Any) -> dict[str, Any]:
    """Every operation of a class, as a coroutine function."""
    _id = document.id
    return {
        "insert": document.insert,
        "insert_one": lambda: cls.insert_one(document),
        "insert_many": lambda: cls.insert_many([document]),
        "insert_many of none": lambda: cls.insert_many([]),
        "insert_if_not_exists": lambda: cls.insert_if_not_exists(document),
        "find": lambda: cls.find().to_list(),
        "find_one": cls.find_one,
        "find_by_id": lambda: cls.find_by_id(_id),
        "find_all": cls.find_all,
        "count": cls.count,
        "count_documents": cls.count_documents,
        "estimated_document_count": cls.estimated_document_count,
        "exists": lambda: cls.exists({}),
        "save": document.save,
        "update_one": lambda: cls.update_one({}, {"$set": {"a": 1}}),
        "update_many": lambda: cls.update_many({}, {"$set": {"a": 1}}),
        "update_by_id": lambda: cls.update_by_id(_id, {"$set": {"a": 1}}),
        "find_one_and_update": lambda: cls.find_one_and_update({}, {"$set": {"a": 1}}),
        "find_one_and_replace": lambda: cls.find_one_and_replace({}, document),
        "find_one_and_delete": lambda: cls.find_one_and_delete({}),
        "delete": document.delete,
        "delete_one": lambda: cls.delete_one({}),
        "delete_many": lambda: cls.delete_many({}),
        "delete_by_id": lambda: cls.delete_by_id(_id),
        "distinct": lambda: cls.distinct("text"),
        "aggregate": lambda: cls.aggregate([]).to_list(),
        "save_many": lambda: cls.save_many([document]),
        "bulk_write": lambda: cls.bulk_write([]),
    }


async def refused(cls: Any) -> None:
    with pytest.raises(NotBoundError, match=cls.__name__):
        cls.get_collection()
    for name, use in each_use(cls, cls(_id=1)).items():
        with pytest.raises(NotBoundError) as caught:
            await use()
        assert cls.__name__ in str(caught.value), name
        assert "init(" in str(caught.value)
        assert isinstance(caught.value, RuntimeError)


async def test_use_before_init_and_after_close_names_the_class(
    mongo_db: mongojet.Database,
) -> None:
    class Late(Numbered):
        __collection_name__ = "late"

    await refused(Late)
    await init(mongo_db, [Late], close_client=False)
    assert await Late.count() == 0
    await close()
    await refused(Late)


async def test_a_subclass_that_was_not_bound_is_not_bound_by_its_base(bind: Bind) -> None:
    await bind(Person)
    with pytest.raises(NotBoundError, match="Child"):
        await Child(name="a").insert()
    with pytest.raises(NotBoundError, match="Child"):
        await Child.find_one()
    assert await Person.count() == 0
    await bind(Child)
    await Child(name="a").insert()
    assert (await Person.count(), await Child.count()) == (0, 1)


async def test_a_bound_class_knows_its_collection(bind: Bind) -> None:
    db = await bind(Person, Child)
    assert Person.get_collection_name() == "people"
    assert Person.get_collection().name == "people"
    await Child.get_collection().insert_one({"name": "raw"})
    assert await db["children"].count_documents({}) == 1

    class Nameless(MongoDocument):
        pass

    assert Nameless.get_collection_name() == "Nameless"


async def test_two_databases_at_once(
    mongo_db: mongojet.Database, second_db: mongojet.Database
) -> None:
    await init(mongo_db, [Person], close_client=False)
    await init(second_db, [Child], close_client=False)
    try:
        await Person(name="here").insert()
        await Child(name="there").insert()
        assert await mongo_db["people"].count_documents({}) == 1
        assert await second_db["children"].count_documents({}) == 1
        assert await mongo_db["children"].count_documents({}) == 0
        assert await second_db["people"].count_documents({}) == 0
    finally:
        await close()
    for cls in (Person, Child):
        with pytest.raises(NotBoundError):
            await cls.count()


async def test_related_classes_may_have_one_name_in_two_databases(
    mongo_db: mongojet.Database, second_db: mongojet.Database
) -> None:
    class Copy(Person):
        __collection_name__ = "people"

    await init(mongo_db, [Person], close_client=False)
    await init(second_db, [Copy], close_client=False)
    try:
        await Copy(name="a").insert()
        assert (await Person.count(), await Copy.count()) == (0, 1)
    finally:
        await close()


async def test_binding_again_moves_a_class(
    bind: Bind, mongo_db: mongojet.Database, second_db: mongojet.Database
) -> None:
    await bind(Person)
    await Person(name="first").insert()
    await init(second_db, [Person], close_client=False)
    assert await Person.count() == 0
    await Person(name="second").insert()
    assert [each["name"] async for each in await second_db["people"].find({})] == ["second"]
    await init(mongo_db, [Person], close_client=False)
    assert [each.name for each in await Person.find_all()] == ["first"]


async def test_init_binds_all_or_none(bind: Bind, mongo_db: mongojet.Database) -> None:
    class Broken(MongoDocument):
        friend: Person

    class Fine(Person):
        __collection_name__ = "fine"

    for types in ([Fine, Broken], [Broken, Fine]):
        with pytest.raises(DefinitionError):
            await bind(*types)
        with pytest.raises(NotBoundError):
            await Fine.count()


async def test_init_binds_none_where_an_index_cannot_be(bind: Bind) -> None:
    class Doubled(MongoDocument):
        __indexes__: ClassVar = [IndexModel("email", unique=True)]
        email: str

    class Fine(Person):
        __collection_name__ = "fine"

    db = await bind(Person)
    await db["Doubled"].insert_many([{"email": "a"}, {"email": "a"}])
    with pytest.raises(IndexConflictError, match="Doubled"):
        await bind(Fine, Doubled)
    for cls in (Fine, Doubled):
        with pytest.raises(NotBoundError):
            await cls.count()
    assert await Person.count() == 0


async def test_a_failed_init_leaves_what_was_bound_before(bind: Bind) -> None:
    class Broken(MongoDocument):
        friend: Person

    await bind(Person)
    one = await Person(name="a").insert()
    with pytest.raises(DefinitionError):
        await bind(Person, Broken)
    assert await Person.find_all() == [one]


async def test_a_server_that_is_not_there_is_said_at_init() -> None:
    client = await mongojet.create_client("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200")
    with pytest.raises(ServerUnavailableError, match="app") as caught:
        await init(client["app"], [Person])
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value, MongospecError)
    with pytest.raises(NotBoundError):
        await Person.count()
    await client.close()


@pytest.mark.parametrize("options", [{"indexes": "maybe"}, {"index_conflicts": "ignore"}])
async def test_init_refuses_words_that_it_does_not_know(bind: Bind, options: Any) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        await bind(Person, **options)


# -- close


async def test_close_closes_the_client_and_may_be_called_again(mongo_server: MongoServer) -> None:
    client = await mongojet.create_client(mongo_server.uri)
    await init(client["closing"], [Person])
    assert await Person.count() == 0
    await close()
    await close()
    with pytest.raises(mongojet.PyMongoError):
        await client["closing"]["people"].find_one({})


async def test_close_leaves_a_client_to_its_owner(bind: Bind, mongo_db: mongojet.Database) -> None:
    await bind(Person)
    await close()
    assert await mongo_db["people"].find_one({}) is None
    await bind(Person)
    assert await Person.count() == 0


async def test_close_waits_for_operations_in_flight(
    mongo_server: MongoServer, mongo_db: mongojet.Database
) -> None:
    with FaultProxy(mongo_server.uri) as proxy:
        client = await mongojet.create_client(proxy.uri)
        await init(client[mongo_db.name], [Person])
        with proxy.delay("insert", 0.3) as rule:
            insert = asyncio.create_task(Person(name="a").insert())
            await rule.reached()
            await close()
            await insert
    assert await mongo_db["people"].count_documents({}) == 1


# -- connect


async def test_connect_binds_and_closes(mongo_server: MongoServer, mongo_db: Any) -> None:
    async with connect(
        mongo_server.uri, document_types=[Person, Account], database=mongo_db.name
    ) as db:
        assert db.name == mongo_db.name
        await Person(name="a").insert()
        client = db.client
    with pytest.raises(NotBoundError):
        await Person.count()
    with pytest.raises(mongojet.PyMongoError):
        await client[mongo_db.name]["people"].find_one({})
    indexes = await mongo_db.run_command({"listIndexes": "accounts"})
    assert len(indexes["cursor"]["firstBatch"]) == 2


async def test_connect_takes_the_database_of_the_uri(
    mongo_server: MongoServer, mongo_db: mongojet.Database
) -> None:
    uri = f"{mongo_server.uri.rstrip('/')}/{mongo_db.name}"
    async with connect(uri, document_types=[Person]) as db:
        assert db.name == mongo_db.name


async def test_connect_without_a_database_says_so(mongo_server: MongoServer) -> None:
    with pytest.raises(OptionError, match="database"):
        async with connect(mongo_server.uri, document_types=[Person]):
            pytest.fail("there is no database")


async def test_connect_closes_when_its_block_fails(
    mongo_server: MongoServer, mongo_db: mongojet.Database
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with connect(mongo_server.uri, document_types=[Person], database=mongo_db.name):
            raise ZeroDivisionError
    with pytest.raises(NotBoundError):
        await Person.count()


async def test_connect_leaves_other_bindings_alone(
    bind: Bind, mongo_server: MongoServer, mongo_db: mongojet.Database
) -> None:
    await bind(Person)
    async with connect(mongo_server.uri, document_types=[Child], database=mongo_db.name):
        await Child(name="a").insert()
    assert await Person.count() == 0


# -- loops, threads, processes


async def test_a_bound_class_works_in_other_threads_and_loops(bind: Bind) -> None:
    await bind(Numbered)

    def work(number: int) -> int:
        async def story() -> int:
            one = await Numbered(_id=number, text="a").insert()
            one.text = "b"
            await one.save()
            return await Numbered.count({"_id": number, "text": "b"})

        return asyncio.run(story())

    counts = await asyncio.gather(*(asyncio.to_thread(work, n) for n in range(8)))
    assert counts == [1] * 8
    assert await Numbered.count() == 8


async def test_a_cursor_may_be_read_by_two_threads_one_after_the_other(bind: Bind) -> None:
    await bind(Numbered)
    await Numbered.insert_many([Numbered(_id=n) for n in range(10)])
    cursor = Numbered.find(sort="_id", batch_size=3)
    first = await cursor.to_list(4)
    rest = await asyncio.to_thread(lambda: asyncio.run(cursor.to_list()))
    assert [each.id for each in first + rest] == list(range(10))


# What ends in SIGABRT without the driver's moment at exit: a process that ends while a thread of the driver still has to
# let go of a result. That is a matter of luck, so there are many processes, and each ends at once after many reads: then
# about one in twenty is aborted, and a hundred all pass by luck in less than one run of a hundred. They are forks of one
# that has imported everything: that takes a sixth of the time of processes that start anew.
SHORT = """
import asyncio, os, sys
import mongojet
from mongospec_core import MongoDocument, close, init

uri, database = sys.argv[1:]

class Run(MongoDocument):
    number: int

async def main(number):
    client = await mongojet.create_client(uri)
    await init(client[database], document_types=[Run])
    one = await Run(number=number).insert()
    reads = await asyncio.gather(*(Run.find_by_id(one.id) for _ in range(20)))
    assert all(read == one for read in reads)
    if number % 2:
        await close()

running = 0
statuses = []
for number in range(100):
    if os.fork() == 0:
        asyncio.new_event_loop().run_until_complete(main(number))
        break
    running += 1
    if running == 4:
        statuses.append(os.wait()[1])
        running -= 1
else:
    statuses += [os.wait()[1] for _ in range(running)]
    print(len(statuses), set(statuses))
"""


async def test_100_short_processes_all_exit_with_0(
    mongo_server: MongoServer, mongo_db: mongojet.Database
) -> None:
    command = [sys.executable, "-c", SHORT, mongo_server.uri, mongo_db.name]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env=without_coverage(os.environ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("100 {0}\n", "")
    assert len(await mongo_db["Run"].distinct("number", {})) == 100

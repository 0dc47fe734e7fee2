"""Connections under strain: many at once, dead servers in between, one client in many loops."""

import asyncio
import threading
import time
from collections.abc import Sequence
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
    OperationError,
    OperationTimeoutError,
    OptionError,
    ServerUnavailableError,
    close,
    connect,
    connection,
    init,
    transaction,
)
from mongospec_testing import FaultProxy, MongoServer
from tests.conftest import Bind
from tests.zoo.people import Account, Numbered, Person


class Indexed(MongoDocument):
    __indexes__: ClassVar[Sequence[Any]] = [IndexModel("email", unique=True)]

    email: str = ""


class Broken(MongoDocument):
    friend: Person


async def bound(*classes: type[MongoDocument]) -> list[bool]:
    """Which of the classes can be used."""
    found: list[bool] = []
    for cls in classes:
        try:
            await cls.count()
        except NotBoundError:
            found.append(False)
        else:
            found.append(True)
    return found


# -- all or none


async def test_nothing_is_sent_where_a_class_cannot_work(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    with pytest.raises(DefinitionError):
        await bind(Indexed, Account, Broken)
    assert [each.name for each in mongo_proxy.commands] == []
    assert await bound(Indexed, Account) == [False, False]


@pytest.mark.parametrize("command", ["listIndexes", "createIndexes"])
async def test_a_server_that_dies_in_the_middle_of_init_leaves_nothing_bound(
    bind: Bind, mongo_proxy: FaultProxy, command: str
) -> None:
    with mongo_proxy.cut(command, skip=1), pytest.raises(MongospecError):
        await bind(Person, Indexed, Account)
    assert await bound(Person, Indexed, Account) == [False, False, False]
    await bind(Person, Indexed, Account)
    assert await bound(Person, Indexed, Account) == [True, True, True]


async def test_a_failed_init_leaves_an_older_binding_and_its_database(
    bind: Bind, mongo_client: mongojet.Client, mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    await bind(Indexed)
    one = await Indexed(email="a").insert()
    elsewhere = mongo_client[f"{mongo_db.name}_more"]
    with mongo_proxy.fail("createIndexes", 13), pytest.raises(IndexConflictError):
        await init(elsewhere, [Indexed, Account], close_client=False)
    assert await Indexed.find_all() == [one]
    assert await bound(Account) == [False]
    await elsewhere.drop()


async def test_a_server_that_refuses_hello_is_told_with_its_reason(
    bind: Bind, mongo_proxy: FaultProxy, mongo_db: mongojet.Database
) -> None:
    with (
        mongo_proxy.fail("hello", 18, message="Authentication failed"),
        pytest.raises(OperationError, match=f"{mongo_db.name}.*Authentication failed") as caught,
    ):
        await bind(Person)
    assert (caught.value.code, caught.value.outcome) == (18, "not_applied")
    assert await bound(Person) == [False]


@pytest.mark.parametrize("types", [[5], ["Person"], [Person(name="a")], [int], [None]])
async def test_what_is_no_document_class_is_refused(bind: Bind, types: list[Any]) -> None:
    with pytest.raises(DefinitionError, match="document_types"):
        await bind(Person, *types)
    assert await bound(Person) == [False]


@pytest.mark.parametrize("db", [None, "app", 5])
async def test_what_is_no_database_is_refused(db: Any) -> None:
    with pytest.raises(OptionError, match="Database"):
        await init(db, [Person])


async def test_a_client_is_no_database(mongo_client: mongojet.Client) -> None:
    client: Any = mongo_client
    with pytest.raises(OptionError, match=r"get_database"):
        await init(client, [Person])


async def test_document_types_may_be_any_iterable_and_name_a_class_twice(
    mongo_db: mongojet.Database,
) -> None:
    try:
        await init(mongo_db, (each for each in (Person, Person, Account)), close_client=False)
        assert await bound(Person, Account) == [True, True]
        await init(mongo_db, [], close_client=False)
        assert await bound(Person, Account) == [True, True]
    finally:
        await close()


# -- many at once


async def test_inits_at_once_do_not_disturb_each_other(
    mongo_db: mongojet.Database, mongo_proxy: FaultProxy
) -> None:
    try:
        with mongo_proxy.delay("hello", 0.05):
            await asyncio.gather(
                *(init(mongo_db, [each], close_client=False) for each in (Person, Account, Indexed))
            )
        assert await bound(Person, Account, Indexed) == [True, True, True]
    finally:
        await close()
    assert await bound(Person, Account, Indexed) == [False, False, False]


async def test_a_class_may_be_used_while_it_is_bound_anew(bind: Bind) -> None:
    await bind(Person)

    async def use() -> None:
        for n in range(20):
            await Person(name=str(n)).insert()

    await asyncio.gather(use(), use(), bind(Person), bind(Person))
    assert await Person.count() == 40


async def test_connections_at_once_each_have_their_classes(mongo_server: MongoServer) -> None:
    async def app(cls: Any, document: Any) -> Any:
        name = f"test_connections_{cls.__name__.lower()}"
        async with connect(mongo_server.uri, document_types=[cls], database=name) as db:
            await cls.delete_many({})
            await document.insert()
            found = await cls.find_all()
            await db.drop()
            return found

    documents = [Person(name="a"), Numbered(_id=1), Account(email="a")]
    found = await asyncio.gather(*(app(type(each), each) for each in documents))
    assert found == [[each] for each in documents]
    assert await bound(Person, Numbered, Account) == [False, False, False]


# -- close


async def test_close_closes_every_client_that_it_was_given(mongo_server: MongoServer) -> None:
    clients = [await mongojet.create_client(mongo_server.uri) for _ in range(3)]
    owned = await mongojet.create_client(mongo_server.uri)
    await init(clients[0]["test_close"], [Person])
    await init(clients[0]["test_close"], [Account])
    await init(clients[1]["test_close"], [Numbered])
    await init(clients[2]["test_close"], [Person])  # bound anew: its first client is still closed
    await init(owned["test_close"], [Indexed], close_client=False)
    await clients[0]["test_close"].drop()
    await close()
    assert await bound(Person, Account, Numbered, Indexed) == [False] * 4
    for client in clients:
        with pytest.raises(mongojet.PyMongoError):
            await client["test_close"]["x"].find_one({})
    assert await owned["test_close"]["x"].find_one({}) is None
    await owned.close()


async def test_a_cursor_does_not_hang_after_close(mongo_server: MongoServer) -> None:
    client = await mongojet.create_client(mongo_server.uri)
    await init(client["test_close_cursor"], [Numbered])
    await Numbered.delete_many({})
    await Numbered.insert_many([Numbered(_id=n) for n in range(10)])
    cursor = Numbered.find(batch_size=2, sort="_id")
    unopened = Numbered.find()
    assert (await anext(cursor)).id == 0
    await client["test_close_cursor"].drop()
    await close()
    async with asyncio.timeout(5):
        with pytest.raises(OperationError):
            await cursor.to_list()
        with pytest.raises(OperationError):
            await unopened.to_list()


async def test_what_is_in_flight_at_close_ends_well(
    mongo_server: MongoServer, mongo_proxy: FaultProxy
) -> None:
    client = await mongojet.create_client(mongo_proxy.uri)
    db = client["test_close_flight"]
    await init(db, [Person])
    people = [Person(name=str(n)) for n in range(5)]
    with mongo_proxy.delay("insert", 0.3) as delay:
        writing = [asyncio.create_task(each.insert()) for each in people]
        await delay.reached(5)
        await close()
    assert await asyncio.gather(*writing) == people
    async with connect(mongo_server.uri, document_types=[Person], database=db.name) as again:
        assert await Person.count() == 5
        await again.drop()


async def test_a_use_right_after_close_is_refused_and_not_sent(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Person)
    await close()
    with mongo_proxy.recording() as seen:
        with pytest.raises(NotBoundError, match="Person"):
            await Person(name="a").insert()
        with pytest.raises(NotBoundError, match="Person"):
            Person.find()
    assert seen == []


# -- loops and threads


def test_one_client_in_several_loops_one_after_the_other(mongo_server: MongoServer) -> None:
    async def start() -> None:
        client = await mongojet.create_client(mongo_server.uri)
        await init(client["test_loops"], [Numbered], timeout=10)
        await Numbered.delete_many({})
        await Numbered(_id=1).insert()

    async def go_on() -> list[Numbered]:
        await Numbered(_id=2).insert()
        return await Numbered.find(batch_size=1, sort="_id").to_list()

    async def end() -> None:
        await Numbered.get_collection().drop()
        await close()

    asyncio.run(start())
    assert [each.id for each in asyncio.run(go_on())] == [1, 2]
    asyncio.run(end())
    assert asyncio.run(bound(Numbered)) == [False]


async def test_ten_threads_with_a_loop_each_write_and_read(bind: Bind) -> None:
    await bind(Numbered)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        async def go() -> None:
            own = [Numbered(_id=number * 100 + n) for n in range(20)]
            await Numbered.insert_many(own[:10])
            await asyncio.gather(*(each.insert() for each in own[10:]))
            own[0].text = "changed"
            await own[0].save()
            query = {"_id": {"$gte": number * 100, "$lt": number * 100 + 100}}
            assert await Numbered.find(query, sort="_id", batch_size=7).to_list() == own

        try:
            asyncio.run(go())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(10)]
    for each in threads:
        each.start()
    for each in threads:
        await asyncio.to_thread(each.join)
    assert failures == []
    assert await Numbered.count() == 200


async def test_close_in_another_loop_than_init(mongo_server: MongoServer) -> None:
    client = await mongojet.create_client(mongo_server.uri)
    await init(client["test_close_loop"], [Person])
    assert await Person.count() == 0
    await asyncio.to_thread(lambda: asyncio.run(close()))
    assert await bound(Person) == [False]


async def test_the_name_of_a_package_is_not_a_list_of_classes(mongo_server: MongoServer) -> None:
    with pytest.raises(OptionError, match=r"collect_document_types\('shop\.models'\)"):
        async with connect(mongo_server.uri, document_types="shop.models", database="x"):  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
            raise AssertionError


async def test_init_says_what_it_takes(bind: Bind, mongo_client: Any) -> None:
    with pytest.raises(OptionError, match="Database"):
        await init(mongo_client, document_types=[Person])
    classes: Any = Person
    with pytest.raises(OptionError, match=r"\[Person\]"):
        await init(mongo_client["x"], document_types=classes)
    classes = {"Person": Person}
    with pytest.raises(OptionError, match=r"values\(\)"):
        await init(mongo_client["x"], document_types=classes)


async def test_a_uri_that_cannot_be_used_is_told_by_connect() -> None:
    with pytest.raises(OptionError, match="URI"):
        async with connect("localhost:27017", document_types=[Person]):
            pass


@pytest.mark.parametrize(
    "uri", ["mongodb://127.0.0.1:1", "mongodb://127.0.0.1:1/app", "mongodb://127.0.0.1:1/app?"]
)
async def test_connect_tells_why_there_is_no_server_before_its_time_is_up(uri: str) -> None:
    start = time.monotonic()
    with pytest.raises(
        ServerUnavailableError, match=r"127\.0\.0\.1:1 \(Connection refused"
    ) as caught:
        async with connect(uri, database="app", document_types=[Numbered], timeout=1):
            pass
    assert time.monotonic() - start < 5
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.outcome == "not_applied"


@pytest.mark.parametrize(
    ("uri", "seconds", "expected"),
    [
        ("mongodb://h", 10, "mongodb://h/?serverSelectionTimeoutMS=9500"),
        ("mongodb://u:p@h:1,g:2/db", 1, "mongodb://u:p@h:1,g:2/db?serverSelectionTimeoutMS=900"),
        ("mongodb://h/?tls=true", 1, "mongodb://h/?serverSelectionTimeoutMS=900&tls=true"),
        ("mongodb://h/?", 0.001, "mongodb://h/?serverSelectionTimeoutMS=1"),
        ("mongodb+srv://h/db", 30, "mongodb+srv://h/db?serverSelectionTimeoutMS=29500"),
        ("mongodb://h/?ServerSelectionTimeoutMS=5", 1, "mongodb://h/?ServerSelectionTimeoutMS=5"),
        ("mongodb://h/db", None, "mongodb://h/db"),
        ("mongodb://h/db", 60, "mongodb://h/db"),
    ],
)
def test_the_uris_own_words_stay(uri: str, seconds: float | None, expected: str) -> None:
    assert connection._with_selection_timeout(uri, seconds) == expected


async def test_an_own_client_is_told_how_to_learn_why_there_is_no_server() -> None:
    client = await mongojet.create_client("mongodb://127.0.0.1:1")
    with pytest.raises(OperationTimeoutError, match=r"no answer.*serverSelectionTimeoutMS.*less"):
        await init(client["app"], [Numbered], timeout=0.2, close_client=False)
    await client.close()


class _Plain:
    pass


@pytest.mark.parametrize(
    "given", [5, None, "User", _Plain, _Plain(), MongoDocument, [1]], ids=[*"abcdefg"]
)
async def test_what_is_not_a_concrete_document_class_is_refused_by_init(
    mongo_db: mongojet.Database, given: Any
) -> None:
    with pytest.raises(DefinitionError, match=r"is not a document class|is abstract"):
        await init(mongo_db, [given], close_client=False)


async def test_close_ends_every_session_that_was_used(
    mongo_proxy: FaultProxy, mongo_db: mongojet.Database
) -> None:
    class Item(MongoDocument):
        n: int = 0

    async def aborted() -> None:
        async with transaction():
            await Item(n=1).insert()
            raise KeyError

    async def cancelled() -> None:
        with mongo_proxy.delay("insert", 0.1) as rule:
            task = asyncio.create_task(Item(n=2).insert())
            await rule.reached()
            task.cancel()
            await asyncio.wait([task])

    uri = f"{mongo_proxy.uri.partition('?')[0]}{mongo_db.name}?{mongo_proxy.uri.partition('?')[2]}"
    async with connect(uri, document_types=[Item]):
        with mongo_proxy.stall("insert") as held:  # so that each of them needs a session of its own
            inserts = [asyncio.create_task(Item(n=n).insert()) for n in range(5)]
            await held.reached(5)
        await asyncio.gather(*inserts)
        with pytest.raises(KeyError):
            await aborted()
        await cancelled()
        with mongo_proxy.fail("update", 91), pytest.raises(OperationError):
            await Item.update_one({"n": 1}, {"$set": {"n": 2}})
        async for _ in Item.find(batch_size=2):
            break
    commands = mongo_proxy.commands
    used = {each.body["lsid"]["id"] for each in commands if "lsid" in each.body}
    lists = [each.body["endSessions"] for each in commands if each.name == "endSessions"]
    ended = {session["id"] for sessions in lists for session in sessions}
    # The driver closes a cursor that was left in the background, and may still use its session.
    closing = {each.body["lsid"]["id"] for each in commands if each.name == "find"}
    assert 5 <= len(used) < 12
    assert used - closing <= ended <= used

"""One database a tenant: operations in a block using() a database go to it, references and all."""

import asyncio
import copy
import pickle
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

import mongojet
import msgspec
import pytest
from bson import ObjectId
from mongojet import IndexModel
from pymongo import InsertOne, UpdateOne

from mongospec_core import (
    DuplicateKeyError,
    EncodingError,
    OptionError,
    TransactionError,
    WrongDatabaseError,
    create_indexes,
    init,
    outside_transaction,
    transaction,
    using,
)
from mongospec_kv import KVStore
from mongospec_refs import MongoDocument, is_resolved
from mongospec_testing.proxy import FaultProxy
from tests.conftest import Bind


class Agency(MongoDocument):
    __indexes__: ClassVar[Sequence[IndexModel]] = [IndexModel("name", unique=True)]
    name: str


class Route(MongoDocument):
    title: str
    agency: Agency
    others: list[Agency] = []


class Storage(KVStore, MongoDocument):
    pass


@pytest.fixture
async def tenants(
    bind: Bind, mongo_client: mongojet.Client
) -> AsyncIterator[tuple[mongojet.Database, mongojet.Database]]:
    db = await bind(Agency, Route, Storage)
    red, blue = (mongo_client.get_database(f"{db.name}_{name}") for name in ("red", "blue"))
    yield red, blue
    await red.drop()
    await blue.drop()


type Tenants = tuple[mongojet.Database, mongojet.Database]


async def test_operations_in_a_block_go_to_its_database(tenants: Tenants) -> None:
    red, blue = tenants
    for db in tenants:
        with using(db):
            agency = await Agency(name=db.name).insert()
            await Route(title=f"of {db.name}", agency=agency).insert()
            assert Agency.get_collection().database.name == db.name
            await Storage.set("name", db.name)
    for db in (blue, red):
        with using(db):
            (route,) = await Route.find_all()
            assert route.agency.name == db.name
            assert [each.title async for each in Route.find()] == [f"of {db.name}"]
            assert await Storage.get("name") == db.name
            route.agency.name = "new"
            await route.save()
            assert await Agency.update_many({}, {"$set": {"name": f"{db.name} x"}}) == 1
            await Route.bulk_write(
                [
                    InsertOne(Route(title="b", agency=route.agency)),
                    UpdateOne({}, {"$unset": {"others": 1}}),
                ]
            )
            assert await Route.distinct("title", {"title": "b"}) == ["b"]
            assert (await Agency.aggregate([], into=Agency).to_list())[0].name == f"{db.name} x"
            assert await Agency.count() == await Route.delete_many({"title": "b"}) == 1
    assert await Agency.count() == await Route.count() == await Storage.clear() == 0


async def test_blocks_nest_and_many_requests_run_at_once(tenants: Tenants) -> None:
    red, blue = tenants

    async def request(db: mongojet.Database, number: int) -> None:
        with using(db):
            await asyncio.sleep(0)
            agency = await Agency(name=f"{db.name} {number}").insert()
            await asyncio.gather(*(Route(title="x", agency=agency).insert() for _ in range(2)))
            assert {each.agency.name for each in await Route.find_all({"agency": agency})} == {
                agency.name
            }

    await asyncio.gather(*(request(db, n) for n in range(5) for db in tenants))
    with using(red):
        assert await Agency.count() == 5
        with using(blue):
            assert await Route.count() == 10
            assert {each.name.split()[0] for each in await Agency.find_all()} == {blue.name}
        assert {each.name.split()[0] for each in await Agency.find_all()} == {red.name}
        task = asyncio.create_task(Agency.count())
    assert await task == 5
    assert await Agency.count() == 0


async def test_the_database_of_init_is_a_database_like_others(bind: Bind, tenants: Tenants) -> None:
    db = await bind(Agency)
    agency = await Agency(name="main").insert()
    with using(db):
        agency.name = "same"
        await agency.save()
    assert (await Agency.get_one()).name == "same"


async def test_a_database_of_another_client_works(tenants: Tenants, mongo_server: Any) -> None:
    client = await mongojet.create_client(mongo_server.uri)
    red = client.get_database(tenants[0].name)
    with using(red):
        await Agency(name="there").insert()
    with using(tenants[0]):
        assert (await Agency.get_one()).name == "there"
        agency = await Agency.get_one()
    with using(red), pytest.raises(WrongDatabaseError):
        await agency.save()  # another client: it may be another server
    with using(tenants[0]):
        async with transaction():
            with pytest.raises(TransactionError, match="started for another database"), using(red):
                pass
    await client.close()


async def test_create_indexes_prepares_a_database(
    tenants: Tenants, mongo_proxy: FaultProxy
) -> None:
    red, blue = tenants
    await create_indexes(red)
    await create_indexes(blue, [Route])
    with using(red):
        await Agency(name="a").insert()
        with pytest.raises(DuplicateKeyError):
            await Agency(name="a").insert()
    with mongo_proxy.recording() as seen:
        await create_indexes(red)
    assert {each.name for each in seen} == {"listIndexes"}
    async with transaction():
        with pytest.raises(TransactionError, match=r"create_indexes\(\)"):
            await create_indexes(red)


# -- what crosses is told


async def test_a_document_of_another_database_is_not_written(
    tenants: Tenants, mongo_proxy: FaultProxy
) -> None:
    red, blue = tenants
    main = await Agency(name="main").insert()
    with using(red):
        mine = await Agency(name="red").insert()
        read = await Agency.get_one()
    copies = [mine, read, copy.copy(read), copy.deepcopy(read), copy.replace(read, name="x")]
    copies += [pickle.loads(pickle.dumps(each)) for each in (mine, read)]
    with mongo_proxy.recording() as seen:
        for each in copies:
            each.name = "changed"
            for work in (
                each.save,
                each.insert,
                each.delete,
                each.reload,
                lambda each=each: Agency.save_many([each]),
                lambda each=each: Agency.insert_many([each]),
                lambda each=each: Agency.find_one_and_replace({}, each),
                lambda each=each: each.insert_recursive(),
            ):
                with pytest.raises(WrongDatabaseError, match=f"database '{red.name}'") as raised:
                    await work()
                assert raised.value.outcome == "not_applied"
                with using(blue), pytest.raises(WrongDatabaseError):
                    await work()
        with using(red), pytest.raises(WrongDatabaseError, match=r"the database of init\(\)"):
            await main.save()
    assert not seen
    with using(red):
        await copies[-1].save()
        assert (await Agency.get_one()).name == "changed"


async def test_a_reference_belongs_to_the_database_that_it_was_read_from(tenants: Tenants) -> None:
    red, blue = tenants
    main = await Agency(name="main").insert()
    with using(red):
        agency = await Agency(name="red").insert()
        await Route(title="r", agency=agency).insert()
        route = await Route.get_one()
        unresolved = (await Route.get_one(resolve_refs=False)).agency
        ids = await Route.distinct("agency")
    with using(blue):
        for each in (
            agency,
            route.agency,
            unresolved,
            pickle.loads(pickle.dumps(unresolved)),
            main,
        ):
            with pytest.raises(WrongDatabaseError, match=r"^Route.agency: Agency of _id="):
                await Route(title="x", agency=each).insert()
            with pytest.raises(WrongDatabaseError, match=r"^Route.others\[0\]: "):
                await Route(
                    title="x", agency=Agency.ref(ObjectId()), others=[each]
                ).insert_recursive()
            for query in ({"agency": each}, {"$or": [{"agency": {"$in": [each]}}]}):
                with pytest.raises(WrongDatabaseError):
                    await Route.find_all(query)
                with pytest.raises(WrongDatabaseError):
                    await Route.aggregate([{"$match": query}]).to_list()
            with pytest.raises(WrongDatabaseError):
                await Route.update_many({}, {"$set": {"agency": each}})
        assert not is_resolved(unresolved)
        with pytest.raises(WrongDatabaseError):
            await unresolved.fetch()
        with pytest.raises(WrongDatabaseError):
            await Route.find_all({"agency": ids[0]})
        route.title = "y"
        with pytest.raises(WrongDatabaseError):
            await route.save()
        assert await Route.count() == 0
    with pytest.raises(WrongDatabaseError):
        await unresolved.fetch()
    with using(red):
        await unresolved.fetch()
        assert unresolved.name == "red"


async def test_a_cascade_does_not_cross(tenants: Tenants) -> None:
    red, _ = tenants
    main = await Agency(name="main").insert()
    with using(red):
        route = await Route(title="r", agency=await Agency(name="red").insert()).insert()
        route.agency = main
        with pytest.raises(WrongDatabaseError):
            await route.save()
        assert (await Route.get_one()).agency.name == "red"


async def test_what_no_database_gave_may_be_used_in_any(tenants: Tenants) -> None:
    red, blue = tenants
    new = Agency(name="new")
    reference = Agency.ref("65f0c0ffee65f0c0ffee0001")
    loaded = Route.load({"title": "l", "agency": reference.id})
    for db in tenants:
        with using(db):
            await Route(title="x", agency=reference).insert()
            await copy.replace(loaded, _id=None).insert()
    with using(red):
        await new.insert()
        await new.delete()
    with using(blue):
        await new.insert()  # it is new again
        await new.save()
    assert await new.delete() if False else True
    with using(red):
        twin = copy.replace(await Route.get_one({"title": "x"}), _id=None)
    twin.agency = reference
    await twin.insert()
    assert await Route.count() == 1


async def test_a_cursor_is_read_in_the_database_in_which_it_was_made(tenants: Tenants) -> None:
    red, blue = tenants
    with using(red):
        await Agency.insert_many([Agency(name="a"), Agency(name="b"), Agency(name="c")])
        cursor, later = Agency.find(batch_size=2, sort="name"), Agency.find()
        assert (await anext(cursor)).name == "a"
    with using(blue):
        for each in (cursor, later):
            with pytest.raises(WrongDatabaseError, match=f"begun in the database '{red.name}'"):
                await each.to_list()
        outer = Agency.find()
    with pytest.raises(WrongDatabaseError, match=r"read in the database of init\(\)"):
        await later.to_list()
    with pytest.raises(WrongDatabaseError):
        await outer.explain()
    main = Agency.find()
    with using(red):
        assert [each.name for each in await cursor.to_list()] == ["b", "c"]
        assert len(await later.to_list()) == 3
        with pytest.raises(WrongDatabaseError):
            await main.to_list()
    assert await main.to_list() == []


async def test_a_rollback_stays_in_its_database(tenants: Tenants) -> None:
    red, _ = tenants
    with using(red):
        result = await Route(title="r", agency=Agency(name="a")).insert_recursive()
    with pytest.raises(Exception, match="belongs to"):
        await result.rollback()
    with using(red):
        assert await result.rollback() == 2
        assert await Route.count() == 0


# -- transactions, and what cannot be in a block


async def test_a_transaction_is_of_the_database_of_its_block(tenants: Tenants) -> None:
    red, blue = tenants
    with using(red):
        async with transaction():
            agency = await Agency(name="a").insert()
            with using(red):
                await Route(title="r", agency=agency).insert()
            with pytest.raises(TransactionError, match="started for another database"), using(blue):
                pass
            with outside_transaction(), using(blue):
                await Agency(name="b").insert()
        assert await Route.count() == 1
    with using(blue):
        assert await Agency.count() == 1
    async with transaction():
        with pytest.raises(TransactionError), using(red):
            pass


async def test_a_transaction_ends_in_the_block_in_which_it_was_begun(tenants: Tenants) -> None:
    red, _ = tenants
    block, own = using(red), transaction()
    block.__enter__()
    await own.__aenter__()
    await Agency(name="a").insert()
    block.__exit__(None, None, None)
    with pytest.raises(TransactionError, match="another database than that of this using"):
        await Agency(name="b").insert()
    await own.__aexit__(None, None, None)
    with using(red):
        assert [each.name for each in await Agency.find_all()] == ["a"]


async def test_an_aborted_insert_leaves_its_document_free(tenants: Tenants) -> None:
    red, blue = tenants
    agency = Agency(name="a")
    with using(red), pytest.raises(ZeroDivisionError):
        async with transaction():
            await agency.insert()
            raise ZeroDivisionError
    with using(blue):
        await agency.insert()
        agency.name = "b"
        await agency.save()


async def test_what_is_no_database_and_init_in_a_block_are_refused(tenants: Tenants) -> None:
    with pytest.raises(OptionError, match="takes a mongojet Database"), using("red"):  # type: ignore[arg-type]
        pass
    with using(tenants[0]), pytest.raises(OptionError, match=r"init\(\) cannot be called in a"):
        await init(tenants[0], [Agency])


async def test_a_projection_and_a_plain_struct_know_the_database_of_their_references(
    tenants: Tenants,
) -> None:
    class Card(msgspec.Struct):
        agency: Agency

    red, _ = tenants
    with using(red):
        await Route(title="r", agency=await Agency(name="a").insert()).insert()
        card = await Route.get_one(projection=Card)
    card.agency.name = "b"
    with pytest.raises(WrongDatabaseError):
        await card.agency.save()


async def test_a_deep_or_endless_query_is_refused_in_a_process_that_used_tenants(
    tenants: Any, mongo_db: mongojet.Database
) -> None:
    with using(mongo_db):
        await Agency.find_one({})
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"x": deep}
    endless: list[Any] = []
    endless.append({"x": endless})
    for value in (deep, endless, [deep], {"x": endless}):
        for call in (
            lambda value: Agency.find_one({"name": value}, check=False),
            lambda value: Agency.update_many({}, {"$set": {"name": value}}, check=False),
            lambda value: Agency.aggregate([{"$match": {"name": value}}]).to_list(),
            lambda value: Agency.delete_many({"name": value}, check=False),
        ):
            with pytest.raises(EncodingError):
                await call(value)

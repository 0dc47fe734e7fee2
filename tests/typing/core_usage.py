"""What type checkers know of mongospec-core. Read by them, never run."""

import datetime as dt
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Any, ClassVar, assert_type

import mongojet
import msgspec
from bson import ObjectId
from mongojet import IndexModel
from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne

import mongospec_core as core
from mongospec_core import (
    BulkInsertError,
    BulkResult,
    BulkWriteError,
    CollectionConflictError,
    Cursor,
    DocumentValidationError,
    DuplicateKeyError,
    FilterValueError,
    IndexConflictError,
    InvalidDocument,
    MongoDocument,
    OperationError,
    Page,
    UnknownFieldError,
    UpdateResult,
    WriteFailure,
    WrongDatabaseError,
    changes,
    close,
    connect,
    create_indexes,
    eq,
    init,
    register_encoder,
    using,
)


def use(*values: object) -> None:
    """Take values that are here for their types."""


class Address(msgspec.Struct):
    city: str


class Tile(msgspec.Struct, tag="tile"):
    name: str


class Card(msgspec.Struct):
    name: str


class User(MongoDocument):
    __collection_name__ = "users"
    __indexes__: ClassVar = [IndexModel("email", unique=True)]

    name: str
    email: str = ""
    address: Address | None = None
    created_at: dt.datetime = msgspec.field(default_factory=lambda: dt.datetime.now(dt.UTC))


# mypy alone: it asks of Structs, which do not mind, that a frozen class has frozen bases
class Counter(MongoDocument, frozen=True, rename="camel", validate_on_write=False):  # type: ignore[misc]
    _id: int | None = None
    step: int = 1


class Stamped(MongoDocument, mixin=True):
    stamp: int = 0


class Base(MongoDocument, abstract=True):
    owner: str = ""

    def __pre_save__(self) -> None:
        self.owner = self.owner.lower()

    @classmethod
    def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
        return update

    @classmethod
    def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
        return {"$and": [filter, {"owner": "me"}]}


class AsyncHooks(MongoDocument):
    async def __pre_save__(self) -> None:
        await super().__pre_save__()

    @classmethod
    async def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
        return {**await super().__pre_update__(update)}

    @classmethod
    async def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
        return filter


class Upgraded(MongoDocument):
    @classmethod
    def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
        return raw


class Child(Base):
    toy: str


async def making_documents(user: User) -> None:
    assert_type(User(name="a"), User)
    assert_type(User(_id=ObjectId(), name="a").name, str)
    assert_type(Counter().step, int)
    assert_type(user.address, Address | None)
    Child(owner="a", toy="b")
    User()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    User("a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    User(name=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    User(name="a", nope=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    user.name = 5  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    user.id = ObjectId()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    use(user.nope)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    assert_type(user.dump(), dict[str, Any])
    assert_type(User.load({"name": "a"}), User)
    assert_type(User.get_collection(), mongojet.Collection)
    assert_type(User.get_collection_name(), str)
    assert_type(changes(user), dict[str, Any])


async def inserting(user: User) -> None:
    assert_type(await user.insert(), User)
    assert_type(await user.insert(validate_on_write=False, comment="why", timeout=5), User)
    assert_type(await User.insert_one(user), User)
    assert_type(await User.insert_many([user], ordered=False), list[Any])
    assert_type(await User.insert_if_not_exists(user, {"name": "a"}), User | None)
    await user.insert(nope=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await User.insert_one(Counter())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await User.insert_many(user)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def finding(user: User) -> None:
    use(assert_type(User.find(), Cursor[User]))
    use(assert_type(User.find(projection=Card), Cursor[Card]))
    use(assert_type(User.find(projection={"name": 1}), Cursor[dict[str, Any]]))
    assert_type(await User.find_one({"name": "a"}), User | None)
    assert_type(await User.find_one(projection=Card), Card | None)
    assert_type(await User.find_one(projection={"name": 1}), dict[str, Any] | None)
    assert_type(await User.find_by_id("65f0c0ffee65f0c0ffee0001"), User | None)
    assert_type(await User.find_by_id(user.id, projection=Card), Card | None)
    assert_type(await User.find_by_id(1, projection={"name": 1}), dict[str, Any] | None)
    assert_type(await User.get_one({"name": "a"}, sort="name"), User)
    assert_type(await User.get_one({"name": "a"}, projection=Card), Card)
    assert_type(await User.get_one(projection={"name": 1}), dict[str, Any])
    assert_type(await User.get_by_id("65f0c0ffee65f0c0ffee0001"), User)
    assert_type(await User.get_by_id(user.id, projection=Card), Card)
    assert_type(await User.get_by_id(1, projection={"name": 1}), dict[str, Any])
    assert_type(await user.reload(timeout=5), User)
    page = await User.page({"name": "a"}, sort=[("name", -1)], size=5, total=True)
    assert_type(page, Page[User])
    assert_type(page.items, list[User])
    assert_type(page.total, int | None)
    assert_type(await User.page(after=page.next, collation={"locale": "en"}), Page[User])
    assert_type(await User.page(after=page.previous, projection=Card), Page[Card])
    assert_type(await User.page(projection={"name": 1}), Page[dict[str, Any]])
    assert_type(await User.find_all({"author": user}, sort=[("name", 1)]), list[User])
    assert_type(await User.find_all(sort={"name": 1}, projection=Card), list[Card])
    assert_type(await User.find_all(projection={"name": 1}), list[dict[str, Any]])
    await User.find_all(on_invalid="skip", skip_hooks=True, limit=5, batch_size=10, hint="name_1")
    await User.find_all(on_invalid=lambda failure, raw: None)
    User.find({}, nope=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await User.page(skip=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await User.page(after=5)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await User.get_one({}, limit=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await user.reload(resolve_refs=False)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await User.find_one("abc")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await User.find_all(limit="5")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await User.find_all(on_invalid="ignore")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await User.find_all(projection=int)  # type: ignore[type-var]  # pyright: ignore[reportCallIssue, reportArgumentType]


async def reading_cursors() -> None:
    cursor = User.find()
    opened: Cursor[User] = await cursor
    async for user in opened:
        assert_type(user, User)
    assert_type(await cursor.to_list(), list[User])
    assert_type(await cursor.to_list(20), list[User])
    assert_type(cursor.batches(), AsyncIterator[list[User]])
    assert_type(await cursor.explain(), dict[str, Any])
    async with User.find(projection=Card) as cards:
        assert_type(await anext(cards), Card)
    await cursor.close()
    await cursor.to_list("20")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for _ in cursor:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
        pass


async def counting() -> None:
    assert_type(await User.count(), int)
    assert_type(await User.count_documents({"name": "a"}, limit=5), int)
    assert_type(await User.estimated_document_count(), int)
    assert_type(await User.exists({"name": "a"}), bool)
    assert_type(await User.distinct("name", {"name": "a"}), list[Any])
    use(assert_type(User.aggregate([{"$match": {}}]), Cursor[dict[str, Any]]))
    use(assert_type(User.aggregate([{"$match": {}}], into=Card), Cursor[Card]))
    use(assert_type(User.aggregate([{"$match": {}}], into=Card | Tile), Cursor[Card | Tile]))
    await User.count(nope=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await User.exists()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def updating(user: User) -> None:
    assert_type(await user.save(), User)
    assert_type(await user.save(upsert=True, validate_on_write=False), User)
    assert_type(await User.save_many([user]), BulkResult)
    result = await User.update_one({"name": "a"}, {"$set": {"name": "b"}}, upsert=True)
    assert_type(result, UpdateResult)
    assert_type(result.matched_count, int)
    assert_type(result.modified_count, int)
    assert_type(result.upserted_id, Any)
    changed: int = result
    assert_type(await User.update_many({}, [{"$set": {"name": "b"}}]), UpdateResult)
    assert_type(await User.update_by_id(user.id, {"$inc": {"n": changed}}), UpdateResult)
    assert_type(await User.find_one_and_update({}, {"$set": {"name": "b"}}), User | None)
    assert_type(await User.find_one_and_replace({}, user, return_updated=False), User | None)
    assert_type(await User.find_one_and_delete({}, sort="name"), User | None)
    bulk = await User.bulk_write([])
    assert_type(bulk, BulkResult)
    assert_type(bulk.inserted_count + bulk.matched_count + bulk.deleted_count, int)
    assert_type(bulk.modified_count, int)
    assert_type(bulk.upserted_ids, dict[int, Any])
    await User.update_one({"name": "a"})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await User.find_one_and_replace({}, Counter())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await user.save(nope=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def deleting(user: User) -> None:
    assert_type(await user.delete(), int)
    await user.delete(check=False)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert_type(await User.delete_one({"name": "a"}), int)
    assert_type(await User.delete_many({}), int)
    assert_type(await User.delete_by_id(user.id), int)
    await User.delete_many()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def connecting(client: mongojet.Client) -> None:
    db = client["app"]
    await init(db, document_types=[User, Counter])
    await init(db, [User], indexes="check", index_conflicts="warn", timeout=5, close_client=False)
    await close()
    async with connect("mongodb://localhost/app", document_types=[User]) as bound:
        assert_type(bound, mongojet.Database)
    await init(db, [User], indexes="maybe")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await init(db, [Address])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await init(db)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def safety(user: User) -> None:
    async with core.transaction() as transaction:
        assert_type(transaction, core.Transaction)
        await user.save()
        with core.outside_transaction():
            await User.count()

    async def twice() -> int:
        return await User.count()

    assert_type(await core.run_in_transaction(twice), int)
    assert_type(await core.run_in_transaction(twice, timeout=10), int)
    with core.timeout(2):
        await user.save()
    await core.run_in_transaction(twice())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await core.run_in_transaction(lambda: 5)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
    async with core.transaction(nope=1):  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        pass
    with core.timeout("2"):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        pass


async def many_writes(user: User) -> None:
    operations = [
        InsertOne({"name": "a"}),
        UpdateOne({"name": "a"}, {"$set": {"name": "b"}}, upsert=True),
        UpdateMany({}, [{"$set": {"name": "b"}}]),
        ReplaceOne({"name": "a"}, {"name": "c"}),
        DeleteOne({"name": "a"}),
        DeleteMany({}),
    ]
    assert_type(await User.bulk_write(operations, ordered=False, comment="why"), BulkResult)
    assert_type(await User.save_many(iter([user]), timeout=5), BulkResult)
    await User.bulk_write(operations, nope=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await User.save_many([Counter()])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


@contextmanager
def spans(attributes: dict[str, Any]) -> Generator[None]:
    yield


def observing() -> None:
    with core.instrument(spans, slow=0.5):
        pass
    installed = core.instrument(slow=1)
    installed.remove()
    core.instrument(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    core.instrument(spans, slow="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def errors(
    bulk: BulkInsertError,
    writes: BulkWriteError,
    duplicate: DuplicateKeyError,
    invalid: DocumentValidationError,
    operation: OperationError,
    index: IndexConflictError,
) -> None:
    assert_type(bulk.inserted, list[Any])
    assert_type(bulk.failures, list[WriteFailure])
    assert_type(bulk.failures[0].index, int)
    assert_type(bulk.failures[0].code, int | None)
    assert_type(bulk.unknown, list[Any])
    assert_type(writes.failures, list[WriteFailure])
    assert_type(duplicate.index, str | None)
    assert_type(invalid.failures, tuple[InvalidDocument, ...])
    assert_type(invalid.path, str)
    assert_type(invalid.document_class, type)
    assert_type(operation.code, int | None)
    assert_type(operation.labels, frozenset[str])
    assert_type(operation.has_error_label("TransientTransactionError"), bool)
    a: mongojet.PyMongoError = index
    b: mongojet.DuplicateKeyError = duplicate
    c: TimeoutError = core.OperationTimeoutError("late")
    d: ConnectionError = core.ServerUnavailableError("gone")
    e: RuntimeError = core.NotBoundError("no")
    f: TypeError = core.OptionError("no")
    r: ValueError = core.PageTokenError("no")
    g: TypeError = core.DefinitionError("no")
    h: ValueError = core.EncodingError("no")
    i: ValueError = core.MissingIdError("no")
    j: ValueError = core.InvalidIdError("no")
    k: RuntimeError = core.DocumentNotFoundError("no", User, {"_id": 1})
    q: LookupError = core.DocumentNotFoundError("no", User, {"_id": 1})
    assert_type(core.DocumentNotFoundError("no", User, {}).document_class, type)
    p: msgspec.ValidationError = invalid
    m: core.MongospecError = core.CursorClosedError("no")
    n: core.MongospecError = core.HookError("no")
    o: core.TransactionError = core.TransactionClosedError("no")
    use(a, b, c, d, e, f, g, h, i, j, k, p, m, n, o, q, r)


class Versioned(MongoDocument, version_field="version"):
    __shard_key__ = ("tenant", "_id")

    tenant: str = ""
    version: int = 0


async def versions(one: Versioned) -> None:
    assert_type(await one.save(), Versioned)
    assert_type(one.version, int)
    stale = core.StaleDocumentError("no", document=one, expected=1)
    assert_type(stale.expected, int | None)
    raised: RuntimeError = stale
    try:
        await Versioned.save_many([one])
    except core.StaleDocumentError as error:
        assert_type(error.document, Any)
        if isinstance(error, BulkWriteError):
            assert_type(error.failures[0].expected, int | None)
    use(raised)


class Animal(MongoDocument, tag_field="kind", tag="animal"):
    name: str


class Dog(Animal, tag="dog"):
    breed: str = "mutt"


async def families(dog: Dog) -> None:
    assert_type(await Animal.find_all(), list[Animal])
    use(assert_type(Dog.find(), Cursor[Dog]))
    assert_type(await Animal.find_one(), Animal | None)
    await Animal.insert_many([Animal(name="Ant"), dog])
    await Animal.find_one_and_replace({}, dog)
    match await Animal.get_one():
        case Dog() as found:
            assert_type(found.breed, str)
        case other:
            assert_type(other, Animal)
    await Dog.insert_many([Animal(name="Ant")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


async def tenants(database: mongojet.Database) -> None:
    with using(database):
        assert_type(await Animal.get_one(), Animal)
    await create_indexes(database, [Animal, Dog], index_conflicts="warn")
    await create_indexes(database, index_conflicts="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    try:
        await Animal(name="Ant").save()
    except WrongDatabaseError as error:
        assert_type(error, WrongDatabaseError)
    using("tenant")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Point:
    def __init__(self, x: float) -> None:
        self.x = x


def as_number(point: Point) -> float:
    return point.x


def edges(user: User) -> None:
    register_encoder(Point, as_number)
    assert_type(msgspec.json.encode(user, enc_hook=core.enc_hook), bytes)
    assert_type(msgspec.json.decode(b"{}", type=User, dec_hook=core.dec_hook), User)
    assert_type(msgspec.json.schema(User, schema_hook=core.schema_hook), dict[str, Any])
    use(core.type_encoders, core.type_decoders, core.instrument)


class Strict(MongoDocument, validator="error"):
    __collection_options__ = {"capped": True, "size": 4096}

    name: str


async def validators(db: mongojet.Database, error: CollectionConflictError) -> None:
    await core.init(db, [Strict], validators="check")
    async with connect("mongodb://localhost/a", document_types=[Strict], validators="skip"):
        assert_type(error.code, int | None)


class Loose(MongoDocument, check_queries=False):
    name: str


async def checked_queries(user: User, body: dict[str, object]) -> None:
    assert_type(eq(body["email"]), dict[str, Any])
    assert_type(await User.find_one({"email": eq(body["email"])}, check=False), User | None)
    assert_type(await User.get_one({}, check=False), User)
    assert_type(await User.count({}, check=False), int)
    assert_type((await User.page(check=False)).items, list[User])
    await User.distinct("name", check=False)
    await User.delete_many({}, check=False)
    assert_type(
        await User.update_one({}, {"$set": {"name": "a"}}, upsert=True, on_insert=False),
        UpdateResult,
    )
    await User.update_by_id(user.id, {"$set": {"name": "a"}}, check=False, on_insert=False)
    await User.find_one_and_update({}, {"$set": {"name": "a"}}, upsert=True, on_insert=False)
    await User.bulk_write([UpdateOne({}, {"$set": {"name": "a"}})], check=False, on_insert=False)
    await User.insert_if_not_exists(user, {"name": "a"}, check=False)
    try:
        await Loose.find_all()
    except UnknownFieldError as error:
        assert_type(error.document_class, type)
        assert_type(error.path, str)
        assert_type(error.suggestion, str | None)
    except FilterValueError as error:
        assert_type(error.expected, str)
        assert_type(error.path, str)


async def wrong_checks(user: User) -> None:
    await User.find_one({}, check="no")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await User.find_one({}, on_insert=False)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await user.save(check=False)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await User.update_one({}, {}, on_insert="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await User.insert_if_not_exists(user, on_insert=False)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

"""Damaged and bad documents: named in a batch of many, and what ``on_invalid`` does about them."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from bson import ObjectId

from mongospec_core import (
    DocumentValidationError,
    InvalidDocument,
    MongoDocument,
    MongospecError,
    OperationError,
    changes,
)
from mongospec_testing import FaultProxy
from tests.conftest import Bind

REPLIES = ["find", "aggregate", "getMore"]
COUNT = 500
BAD = 321
MANY = [n for n in range(COUNT) if n % 100 == 7]


class Event(MongoDocument):
    number: int
    name: str = "fine"
    at: dt.datetime | None = None
    notes: list[str] = []
    anything: Any = None


def id_of(number: int) -> ObjectId:
    return ObjectId(f"{number:024}")


async def fill(bad: Mapping[int, dict[str, Any]]) -> None:
    await Event.get_collection().insert_many(
        [{"_id": id_of(n), "number": n, **bad.get(n, {})} for n in range(COUNT)]
    )


async def reads(**options: Any) -> dict[str, Any]:
    """The same documents by every read of many: what each gave or raised."""
    results: dict[str, Any] = {}
    for name, read in {
        "find_all": Event.find_all(**options),
        "to_list": Event.find(**options).to_list(),
        "in batches": Event.find(batch_size=COUNT, **options).to_list(COUNT),
    }.items():
        try:
            results[name] = await read
        except DocumentValidationError as error:
            results[name] = error
    return results


# -- damage that BSON itself has: the server at hand refuses it, so replies are rewritten


def millennia_later(reply: bytes) -> bytes:
    """The date of 2999-12-31 becomes one of the year 10000 and more."""
    late = int(dt.datetime(2999, 12, 31, tzinfo=dt.UTC).timestamp() * 1000)
    return reply.replace(late.to_bytes(8, "little"), (2**49).to_bytes(8, "little"))


def broken_text(reply: bytes) -> bytes:
    return reply.replace(b"kaputt", b"kap\xfftt")


LATE = dt.datetime(2999, 12, 31, tzinfo=dt.UTC)
DAMAGES: dict[str, tuple[dict[str, Any], Any, str]] = {
    "a date in a year beyond 9999": ({"at": LATE}, millennia_later, "at"),
    "invalid UTF-8 in text": ({"name": "kaputt"}, broken_text, "name"),
    "invalid UTF-8 in a list": ({"notes": ["fine", "kaputt"]}, broken_text, "notes"),
    "invalid UTF-8 deep inside": ({"anything": {"a": [{"b": "kaputt"}]}}, broken_text, "anything"),
    "invalid UTF-8 in a field that nobody declares": ({"old": "kaputt"}, broken_text, "old"),
}


@pytest.mark.parametrize(("fields", "damage", "path"), DAMAGES.values(), ids=DAMAGES)
async def test_one_damaged_document_in_500_is_named(
    bind: Bind, mongo_proxy: FaultProxy, fields: dict[str, Any], damage: Any, path: str
) -> None:
    await bind(Event)
    await fill({BAD: fields})
    with mongo_proxy.rewrite_bson(REPLIES, damage):
        for how, error in (await reads()).items():
            assert isinstance(error, DocumentValidationError), how
            assert (error.id, error.path) == (id_of(BAD), path), how
            assert len(error.failures) == 1
            assert error.document_class is Event
            assert str(id_of(BAD)) in str(error)
            assert f"Event.{path}" in str(error)
        for how, found in (await reads(on_invalid="skip")).items():
            assert [each.number for each in found] == [n for n in range(COUNT) if n != BAD], how
        given: list[tuple[InvalidDocument, Mapping[str, Any]]] = []

        def mended(failure: InvalidDocument, raw: Mapping[str, Any]) -> Event:
            given.append((failure, raw))
            return Event(_id=failure.id, number=-1)

        for how, found in (await reads(on_invalid=mended)).items():
            assert [each.number for each in found].index(-1) == BAD, how
            assert len(found) == COUNT
        assert {failure.path for failure, _ in given} == {path}
        assert {raw["number"] for _, raw in given} == {BAD}  # the rest of it can be read
        with pytest.raises(DocumentValidationError):
            await Event.find_by_id(id_of(BAD))
        assert await Event.find_by_id(id_of(BAD), on_invalid="skip") is None


async def test_a_date_beyond_9999_can_be_read_by_a_field_of_any_type(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Event)
    await fill({BAD: {"anything": LATE}})
    with mongo_proxy.rewrite_bson(REPLIES, millennia_later):
        found = await Event.find_all()
    assert int(found[BAD].anything) == 2**49


async def test_several_damaged_documents_are_all_named(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Event)
    await fill(
        {n: {"name": "kaputt"} for n in MANY[:2]}
        | {MANY[2]: {"at": LATE}, MANY[3]: {"number": "no"}, MANY[4]: {"notes": [1]}}
    )
    with (
        mongo_proxy.rewrite_bson(REPLIES, lambda reply: millennia_later(broken_text(reply))),
        pytest.raises(DocumentValidationError, match="and 2 more") as caught,
    ):
        await Event.find_all()
    assert [each.id for each in caught.value.failures] == [id_of(n) for n in MANY]
    assert [each.path for each in caught.value.failures] == [
        "name",
        "name",
        "at",
        "number",
        "notes[0]",
    ]


async def test_a_shape_that_is_damaged_is_named(bind: Bind, mongo_proxy: FaultProxy) -> None:
    class Name(msgspec.Struct):
        _id: ObjectId
        name: str = ""

    await bind(Event)
    await fill({BAD: {"name": "kaputt"}})
    with mongo_proxy.rewrite_bson(REPLIES, broken_text):
        with pytest.raises(DocumentValidationError, match=r"Name\.name") as caught:
            await Event.find_all(projection=Name)
        assert caught.value.id == id_of(BAD)
        assert len(await Event.find_all(projection=Name, on_invalid="skip")) == COUNT - 1


async def test_a_plain_dict_that_is_damaged_is_named(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Event)
    await fill({BAD: {"name": "kaputt"}})
    with mongo_proxy.rewrite_bson(REPLIES, broken_text):
        for read in (
            Event.find_all(projection={"name": 1}),
            Event.find_one({"number": BAD}, projection={"name": 1}),
            Event.find(projection={"name": 1}).to_list(),
            Event.aggregate([{"$match": {}}], batch_size=COUNT).to_list(),
            Event.aggregate([{"$match": {}}], into=Event, batch_size=COUNT).to_list(),
        ):
            with pytest.raises(DocumentValidationError) as caught:
                await read
            assert (caught.value.id, caught.value.path) == (id_of(BAD), "name")


async def test_a_cursor_goes_on_after_a_damaged_batch(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Event)
    await fill({BAD: {"name": "kaputt"}})
    cursor = Event.find(sort="_id", batch_size=100)
    numbers: list[int] = []
    failed = 0
    with mongo_proxy.rewrite_bson(REPLIES, broken_text):
        while True:
            try:
                batch = await cursor.to_list(100)
            except DocumentValidationError:
                failed += 1
                continue
            if not batch:
                break
            numbers += [each.number for each in batch]
    assert failed == 1
    assert numbers == [n for n in range(COUNT) if not 300 <= n < 400]


async def test_damage_is_no_reason_to_lose_the_stored_form_of_the_others(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Event)
    await fill({BAD: {"number": "no"}})
    found = await Event.find_all(on_invalid="skip")
    assert all(changes(each) == {} for each in found)
    found[5].name = "new"
    with mongo_proxy.recording() as seen:
        await found[5].save()
    assert seen[0].body["updates"][0]["u"] == {"$set": {"name": "new"}}


# -- find_one_and_*: the write stands, though its document cannot be read


async def test_what_find_one_and_delete_took_away_is_not_lost(bind: Bind) -> None:
    await bind(Event)
    await fill({BAD: {"number": "no", "name": "precious"}})
    with pytest.raises(DocumentValidationError) as caught:
        await Event.find_one_and_delete({"_id": id_of(BAD)})
    assert caught.value.outcome == "applied"
    assert caught.value.given is not None
    assert caught.value.given["name"] == "precious"
    assert "'name': 'precious'" in caught.value.__notes__[0]
    assert await Event.count({"_id": id_of(BAD)}) == 0


async def test_an_update_whose_document_cannot_be_read_says_that_it_was_carried_out(
    bind: Bind,
) -> None:
    await bind(Event)
    await fill({BAD: {"number": "no"}})
    with pytest.raises(DocumentValidationError, match=r"Event\.number") as caught:
        await Event.find_one_and_update({"_id": id_of(BAD)}, {"$set": {"name": "new"}})
    assert caught.value.outcome == "applied"
    assert await Event.count({"name": "new"}) == 1


# -- __upgrade__


# -- on_invalid


async def test_a_function_that_raises_ends_the_read_with_its_error(bind: Bind) -> None:
    await bind(Event)
    await fill({BAD: {"number": "no"}})

    def refuse(failure: InvalidDocument, raw: Mapping[str, Any]) -> Any:
        raise LookupError(str(failure.id))

    with pytest.raises(LookupError, match=str(id_of(BAD))):
        await Event.find_all(on_invalid=refuse)


async def test_only_the_bad_documents_are_asked_about(bind: Bind) -> None:
    await bind(Event)
    await fill({n: {"number": None} for n in MANY})
    asked: list[Any] = []

    def noted(failure: InvalidDocument, raw: Mapping[str, Any]) -> None:
        asked.append(raw["_id"])

    found = await Event.find_all(on_invalid=noted)
    assert len(found) == COUNT - len(MANY)
    assert asked == [id_of(n) for n in MANY]


# -- decimals of classes inside


@dataclasses.dataclass
class Priced:
    price: Decimal


class Pair(NamedTuple):
    low: Decimal
    high: Decimal


async def test_decimals_inside_of_dataclasses_and_named_tuples_come_back(bind: Bind) -> None:
    class WithDataclass(MongoDocument):
        priced: Priced
        many: list[Priced] = []

    class WithPair(MongoDocument):
        pair: Pair

    await bind(WithDataclass, WithPair)
    price = Decimal("1.50")
    one = await WithDataclass(priced=Priced(price), many=[Priced(price)]).insert()
    two = await WithPair(pair=Pair(price, price)).insert()
    assert await WithDataclass.find_all() == [one]
    assert await WithPair.find_all() == [two]


# -- damage of any byte: a list that looks whole is whole


async def test_no_damaged_byte_makes_a_read_end_in_silence(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Event)
    await Event.insert_many([Event(number=n, notes=["a"]) for n in range(6)])
    seen: list[bytes] = []

    def look(reply: bytes) -> bytes:
        seen.append(reply)
        return reply

    with mongo_proxy.rewrite_bson("getMore", look, times=1):
        assert len(await Event.find_all(batch_size=3)) == 6
    batch = range(seen[0].index(b"nextBatch"), seen[0].index(b"\x12id\0"))
    assert len(batch) > 200
    for place in batch:
        flipped = seen[0][place] ^ 0x07

        def damage(reply: bytes, place: int = place, flipped: int = flipped) -> bytes:
            return reply[:place] + bytes([flipped]) + reply[place + 1 :]

        cursor = Event.find(batch_size=3)
        with mongo_proxy.rewrite_bson("getMore", damage, times=1), suppress(MongospecError):
            assert len(await Event.find_all(batch_size=3)) == 6
        with mongo_proxy.rewrite_bson("getMore", damage, times=1):
            try:
                assert len(await cursor.to_list()) == 6
            except DocumentValidationError:  # documents that cannot be read are told of
                continue
            except OperationError:
                with pytest.raises(OperationError):
                    await cursor.to_list()


async def test_a_document_whose_bson_is_broken_is_one_that_does_not_fit(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await bind(Event)
    await Event.insert_many([Event(number=n, name="broken" if n == 1 else "") for n in range(3)])
    failures: list[InvalidDocument] = []

    def breaking(reply: bytes) -> bytes:
        return reply.replace(b"\x02name\0\x07", b"\x66name\0\x07")

    with mongo_proxy.rewrite_bson("find", breaking):
        with pytest.raises(DocumentValidationError, match=r"Event: .*type"):
            await Event.find_all()
        with pytest.raises(DocumentValidationError, match="type"):
            await Event.find_all(projection={"name": 1})
        found = await Event.find_all(on_invalid=lambda failure, raw: failures.append(failure))
    assert [each.number for each in found] == [0, 2]
    assert failures[0].id is None

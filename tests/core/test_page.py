"""Pages by the values of their sort: none is shown twice, none is left out, and tokens are values."""

import base64
import copy
import datetime as dt
import json
import uuid
from decimal import Decimal
from random import Random
from typing import Any
from zlib import crc32

import bson
import msgspec
import pytest
from bson import (
    Binary,
    Code,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)

import mongospec_core as core
from mongospec_core import DocumentValidationError, MongoDocument, OptionError, Page, PageTokenError
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.zoo.people import Address, Person


class Item(MongoDocument):
    """Takes every value, so that the order of all types can be looked at."""

    __collection_name__ = "items"

    _id: int | None = None
    a: Any = None
    b: Any = None


class Price(msgspec.Struct, forbid_unknown_fields=True):
    a: Any


class Old(MongoDocument):
    _id: int | None = None
    text: str = ""

    @classmethod
    def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
        raw["text"] = raw.pop("body", raw.get("text", ""))
        return raw


class Text(msgspec.Struct):
    text: str


class Mine(MongoDocument):
    _id: int | None = None
    owner: str
    a: int = 0

    @classmethod
    def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
        return {"$and": [filter, {"owner": "me"}]}


MISSING = object()
DAY = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ORDERED: list[list[Any]] = [
    [MinKey()],
    [None, MISSING],
    [float("nan"), Decimal128("NaN")],
    [float("-inf")],
    [-1.5, Decimal128("-1.50")],
    [0, 0.0],
    [7, 7.0, Int64(7), Decimal128("7")],
    [2**60],
    [""],
    ["$gt"],
    ["Z"],
    ["a"],
    ["a\0b"],
    [{}],
    [{"x": 1}],
    [{"x": 2}],
    [Binary(b"a")],
    [Binary(b"bb")],
    [ObjectId("65f0c0ffee65f0c0ffee0001")],
    [ObjectId("65f0c0ffee65f0c0ffee0002")],
    [False],
    [True],
    [DAY],
    [DAY + dt.timedelta(days=1)],
    [Timestamp(1, 1)],
    [MaxKey()],
]
"""Values as MongoDB orders them; those of one row are equal."""
ROWS = range(len(ORDERED))


class Shelf:
    """The documents of the collection, and where a sort puts them."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.places: dict[int, tuple[int, int]] = {}
        self.serial = 0

    async def add(self, count: int, rows: range = ROWS) -> None:
        documents: list[dict[str, Any]] = []
        for _ in range(count):
            self.serial += 1
            id_ = self.random.randrange(10_000) * 1_000 + self.serial  # anywhere in the order
            self.places[id_] = place = (self.random.choice(rows), self.random.choice(rows))
            values = {
                name: self.random.choice(ORDERED[row])
                for name, row in zip("ab", place, strict=True)
            }
            documents.append({"_id": id_, **{k: v for k, v in values.items() if v is not MISSING}})
        await Item.get_collection().insert_many(documents)

    async def remove(self, count: int) -> None:
        gone = self.random.sample(sorted(self.places), min(count, len(self.places)))
        await Item.get_collection().delete_many({"_id": {"$in": gone}})
        for id_ in gone:
            del self.places[id_]

    def ids(self, ways: tuple[int, int]) -> list[int]:
        """All ids as ``sort=[("a", ways[0]), ("b", ways[1])]`` has them."""
        return sorted(self.places, key=lambda id_: self.key(ways, id_, self.places[id_]))

    @staticmethod
    def key(ways: tuple[int, int], id_: int, place: tuple[int, int]) -> tuple[int, int, int]:
        return (ways[0] * place[0], ways[1] * place[1], ways[1] * id_)


def ids(page: Page[Item]) -> list[Any]:
    return [each._id for each in page.items]


@pytest.mark.parametrize("seed", range(8))
async def test_pages_follow_the_sort_while_documents_come_and_go(bind: Bind, seed: int) -> None:
    await bind(Item)
    random = Random(seed)
    shelf = Shelf(random)
    rows = ROWS if seed % 2 else range(1, 5)  # few values: many documents are equal in the sort
    ways = ((1, 1), (1, -1), (-1, 1), (-1, -1))[seed // 2]
    await shelf.add(40, rows)
    always = set(shelf.places)
    shown: list[int] = []
    places: dict[int, tuple[int, int]] = {}
    token: str | None = None
    size = random.randrange(2, 9)

    def beyond(last: int | None, *, back: bool) -> list[int]:
        """What has to be on the page before or after *last*, whether that is still there or not."""
        order = shelf.ids(ways)
        if last is None:
            return order[:size]
        limit = shelf.key(ways, last, places[last])
        if back:
            return [i for i in order if shelf.key(ways, i, shelf.places[i]) < limit][-size:]
        return [i for i in order if shelf.key(ways, i, shelf.places[i]) > limit][:size]

    while True:
        page = await Item.page(sort=[("a", ways[0]), ("b", ways[1])], size=size, after=token)
        assert ids(page) == beyond(shown[-1] if shown else None, back=False)
        assert (page.previous is None) is (token is None)
        places |= {id_: shelf.places[id_] for id_ in ids(page)}
        shown += ids(page)
        assert (page.next is None) is (ids(page) == [] or shelf.ids(ways)[-1] == ids(page)[-1])
        if page.next is None:
            break
        token = page.next
        await shelf.remove(random.randrange(3))
        await shelf.add(random.randrange(1, 4), rows)
        always &= set(shelf.places)
    assert len(shown) == len(set(shown))
    assert always <= set(shown)

    while page.previous is not None:
        token, first = page.previous, ids(page)[0]
        await shelf.remove(random.randrange(2))
        await shelf.add(random.randrange(1, 4), rows)
        page = await Item.page(sort=[("a", ways[0]), ("b", ways[1])], size=size, after=token)
        assert ids(page) == beyond(first, back=True)
        assert page.next is not None
        if not page.items:
            break
        places |= {id_: shelf.places[id_] for id_ in ids(page)}


@pytest.mark.parametrize("way", [1, -1])
async def test_every_type_has_its_place(bind: Bind, way: int) -> None:
    await bind(Item)
    values = [value for row in ORDERED for value in row]
    documents = [{"_id": n, "a": value} for n, value in enumerate(values)]
    await Item.get_collection().insert_many(
        [{k: v for k, v in each.items() if v is not MISSING} for each in documents]
    )
    sort = [("a", way), ("_id", 1)]
    expected = ids_of = [each._id for each in await Item.find_all(sort=sort)]
    row_of = [n for n, row in enumerate(ORDERED) for _ in row]
    assert [row_of[id_] for id_ in ids_of if id_ is not None] == sorted(row_of)[::way]
    page = await Item.page(sort=sort, size=1)
    found = ids(page)
    while page.next:
        page = await Item.page(sort=sort, size=1, after=page.next)
        found += ids(page)
    assert found == expected
    while page.previous:
        page = await Item.page(sort=sort, size=1, after=page.previous)
        expected.pop()
        assert ids(page) == expected[-1:]


# -- what a page has


async def test_a_page_of_nothing_leads_nowhere(bind: Bind) -> None:
    await bind(Item)
    assert await Item.page() == Page(items=[])
    assert (await Item.page(total=True)).total == 0


async def test_pages_are_by_id_if_nothing_else_is_said(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Item)
    await Item.insert_many([Item(_id=n) for n in range(45)])
    with mongo_proxy.recording() as seen:
        first = await Item.page()
    assert ids(first) == list(range(20))
    (sent,) = seen
    assert (sent.body["sort"], sent.body["limit"]) == ({"_id": 1}, 21)
    second = await Item.page(after=first.next, total=True)
    assert (ids(second), second.total) == (list(range(20, 40)), 45)
    third = await Item.page(after=second.next)
    assert (ids(third), third.next) == (list(range(40, 45)), None)
    assert ids(await Item.page(after=third.previous)) == ids(second)
    assert ids(await Item.page(after=second.previous)) == ids(first)


async def test_an_empty_page_leads_back_to_where_it_came_from(bind: Bind) -> None:
    await bind(Item)
    await Item.insert_many([Item(_id=n) for n in range(4)])
    first = await Item.page(size=2)
    second = await Item.page(size=2, after=first.next)
    await Item.delete_many({"_id": {"$gt": 1}})
    nothing = await Item.page(size=2, after=first.next)
    assert (nothing.items, nothing.next) == ([], None)
    assert ids(await Item.page(size=2, after=nothing.previous)) == [0, 1]
    await Item.insert_many([Item(_id=n) for n in (2, 3)])
    await Item.delete_many({"_id": {"$lt": 2}})
    nothing = await Item.page(size=2, after=second.previous)
    assert (nothing.items, nothing.previous) == ([], None)
    assert ids(await Item.page(size=2, after=nothing.next)) == [2, 3]


async def test_a_page_filters_and_counts_what_matches(bind: Bind) -> None:
    await bind(Item)
    await Item.insert_many([Item(_id=n, a=n % 2, b=-n) for n in range(20)])
    odd = {"a": 1}
    first = await Item.page(odd, sort="b", size=4, total=True)
    assert (ids(first), first.total) == ([19, 17, 15, 13], 10)
    second = await Item.page(odd, sort="b", size=4, after=first.next, total=True)
    assert (ids(second), second.total) == ([11, 9, 7, 5], 10)
    assert odd == {"a": 1}


async def test_the_id_in_the_middle_of_a_sort_ends_it(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Item)
    await Item.insert_many([Item(_id=n, a=1, b=-n) for n in range(3)])
    with mongo_proxy.recording() as seen:
        page = await Item.page(sort={"a": 1, "_id": -1, "b": 1}, size=2)
    assert seen[0].body["sort"] == {"a": 1, "_id": -1}
    assert ids(page) == [2, 1]


async def test_a_sort_may_name_a_field_inside(bind: Bind) -> None:
    await bind(Person)
    cities = ["Rome", "Oslo", "Bonn"]
    await Person.insert_many(
        [Person(name=city, address=Address(city=city)) for city in cities] + [Person(name="none")]
    )
    names: list[str] = []
    token = None
    while token or not names:
        page = await Person.page(sort="address.city", size=1, after=token)
        names += [each.name for each in page.items]
        token = page.next
    assert names == ["none", "Bonn", "Oslo", "Rome"]


async def test_every_page_is_scoped_by_the_hook(bind: Bind) -> None:
    await bind(Mine)
    await Mine.insert_many([Mine(_id=n, owner="me" if n % 2 else "you") for n in range(6)])
    page = await Mine.page(size=2, total=True)
    assert ([each._id for each in page.items], page.total) == ([1, 3], 3)
    page = await Mine.page(size=2, after=page.next)
    assert [each._id for each in page.items] == [5]
    page = await Mine.page(size=2, skip_hooks=True)
    assert [each._id for each in page.items] == [0, 1]


async def test_an_unfit_document_does_not_stop_what_comes_after_it(bind: Bind) -> None:
    await bind(Old)
    await Old.get_collection().insert_many(
        [{"_id": n, "text": "x" if n != 1 else 5} for n in range(4)]
    )
    with pytest.raises(DocumentValidationError):
        await Old.page(size=2)
    page = await Old.page(size=2, on_invalid="skip")
    assert [each._id for each in page.items] == [0]
    page = await Old.page(size=2, on_invalid="skip", after=page.next)
    assert [each._id for each in page.items] == [2, 3]


async def test_a_document_of_the_next_page_is_not_read(bind: Bind) -> None:
    await bind(Old)
    await Old.get_collection().insert_many([{"_id": 0}, {"_id": 1, "text": 5}])
    assert len((await Old.page(size=1)).items) == 1


async def test_a_page_takes_part_in_a_transaction(bind: Bind) -> None:
    await bind(Item)
    await Item(_id=1).insert()
    async with core.transaction():
        await Item(_id=2).insert()
        assert (await Item.page(total=True)).total == 2
        with core.outside_transaction():
            assert (await Item.page(total=True)).total == 1


async def test_a_collation_orders_pages_as_it_orders_a_find(bind: Bind) -> None:
    await bind(Item)
    await Item.insert_many([Item(_id=n, a=a) for n, a in enumerate("bAaB")])
    collation = {"locale": "en", "strength": 2}
    order = [each._id for each in await Item.find_all(sort=["a", "_id"], collation=collation)]
    page = await Item.page(sort="a", size=2, collation=collation)
    again = await Item.page(sort="a", size=2, collation=collation, after=page.next)
    assert ids(page) + ids(again) == order == [1, 2, 0, 3]
    with pytest.raises(PageTokenError, match="another query"):
        await Item.page(sort="a", size=2, after=page.next)


# -- projections


@pytest.mark.parametrize(
    ("projection", "found"),
    [
        (Price, [Price(5), Price(4)]),
        ({"a": 1}, [{"_id": 5, "a": 5}, {"_id": 4, "a": 4}]),
        ({"a": 1, "_id": 0}, [{"a": 5}, {"a": 4}]),
        ({"_id": 1}, [{"_id": 5}, {"_id": 4}]),
        ({"n": {"$add": ["$a", 1]}}, [{"_id": 5, "n": 6}, {"_id": 4, "n": 5}]),
        ({"_id": 0}, [{"a": 5, "b": -5}, {"a": 4, "b": -4}]),
        ({"a": 0}, [{"_id": 5, "b": -5}, {"_id": 4, "b": -4}]),
        ({"a": 0, "_id": 0}, [{"b": -5}, {"b": -4}]),
        ({"a": {"$slice": 1}, "_id": 0}, [{"a": 5, "b": -5}, {"a": 4, "b": -4}]),
        ({}, [{"_id": 5, "a": 5, "b": -5}, {"_id": 4, "a": 4, "b": -4}]),
    ],
    ids=str,
)
async def test_a_projection_is_what_it_is_in_find_and_need_not_have_the_sort(
    bind: Bind, projection: Any, found: list[Any]
) -> None:
    await bind(Item)
    await Item.insert_many([Item(_id=n, a=n, b=-n) for n in range(6)])
    before = copy.copy(projection)
    page = await Item.page(sort=[("b", 1)], size=2, projection=projection)
    assert page.items == found == await Item.find_all(sort="b", limit=2, projection=projection)
    again = await Item.page(sort=[("b", 1)], size=2, projection=projection, after=page.next)
    assert again.items == await Item.find_all(sort="b", skip=2, limit=2, projection=projection)
    assert projection == before


@pytest.mark.parametrize("left_out", ["a", "a.x"])
async def test_a_projection_without_the_sort_is_refused_if_it_cannot_be_added(
    bind: Bind, left_out: str
) -> None:
    await bind(Item)
    with pytest.raises(OptionError, match=f"leaves out '{left_out}'"):
        await Item.page(sort="a", projection={left_out: 0})
    with pytest.raises(OptionError, match="leaves out 'a'"):
        await Item.page(sort="a.x", projection={"a": 0})


async def test_a_struct_of_an_upgraded_class_is_paged_by_what_is_stored(bind: Bind) -> None:
    await bind(Old)
    await Old.get_collection().insert_many([{"_id": n, "body": f"{n}"} for n in range(3)])
    page = await Old.page(sort=[("body", -1)], size=2, projection=Text, check=False)
    assert page.items == [Text("2"), Text("1")]
    assert (
        await Old.page(sort=[("body", -1)], projection=Text, after=page.next, check=False)
    ).items == [Text("0")]


# -- what cannot be paged


@pytest.mark.parametrize(
    "value", [[], [1, 5], Regex("x"), Code("x"), DBRef("a", 1), {"x": [{"$gt": 1}]}], ids=repr
)
async def test_a_value_that_has_no_place_is_told(bind: Bind, value: Any) -> None:
    await bind(Item)
    await Item.get_collection().insert_many([{"_id": 1, "a": 0}, {"_id": 2, "a": value}])
    with pytest.raises(OptionError, match=r"Item.page: the document of _id=2 has .* in 'a': pages"):
        await Item.page(sort=[("a", -1)])
    with pytest.raises(OptionError, match=r"_id=2 has .* in 'a': pages cannot"):
        await Item.page(sort=[("a", 1)], projection={"b": 1, "_id": 0})


async def test_a_list_on_the_way_to_the_field_is_told(bind: Bind) -> None:
    await bind(Item)
    await Item.get_collection().insert_one({"_id": 1, "a": [{"x": 1}]})
    with pytest.raises(OptionError, match="by lists"):
        await Item.page(sort="a.x")
    with pytest.raises(OptionError, match="by lists"):
        await Item.page(sort="a.x", projection={"b": 1})


async def test_a_damaged_value_of_the_sort_is_told(bind: Bind, mongo_proxy: FaultProxy) -> None:
    await bind(Item)
    await Item(_id=1, a="breakme").insert()

    def damage(reply: bytes) -> bytes:
        return reply.replace(b"breakme", b"break\xff\xfe")

    with mongo_proxy.rewrite_bson("find", damage), pytest.raises(OptionError, match="be read: "):
        await Item.page(sort="a")


@pytest.mark.parametrize("size", [0, -1, "20", True, 2.0])
async def test_a_size_is_a_whole_number(bind: Bind, size: Any) -> None:
    await bind(Item)
    with pytest.raises(OptionError, match="size="):
        await Item.page(size=size)


@pytest.mark.parametrize("way", [0, 2, "asc", 1.0, True, {"$meta": "textScore"}])
async def test_a_direction_is_1_or_minus_1(bind: Bind, way: Any) -> None:
    await bind(Item)
    with pytest.raises(OptionError, match="1 or -1"):
        await Item.page(sort=[("a", way)])


@pytest.mark.parametrize("option", ["skip", "limit", "batch_size", "min", "return_key"])
async def test_what_would_make_other_pages_is_refused(bind: Bind, option: str) -> None:
    await bind(Item)
    with pytest.raises(OptionError, match=rf"Item.page does not take {option}=.*after.*total"):
        await Item.page(**{option: 1})  # type: ignore[call-overload]


# -- tokens


async def first_page(bind: Bind) -> Page[Item]:
    await bind(Item, Mine)
    await Item.insert_many([Item(_id=n, a=n) for n in range(6)])
    return await Item.page({"a": {"$gte": 1}}, sort=[("a", -1)], size=2)


async def test_a_token_can_stand_in_a_url(bind: Bind) -> None:
    page = await first_page(bind)
    assert page.next is not None
    assert set(page.next) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert len(page.next) < 80
    assert json.loads(msgspec.json.encode(page, enc_hook=core.enc_hook))["next"] == page.next


async def test_a_token_of_another_query_is_refused(bind: Bind) -> None:
    token = (await first_page(bind)).next
    query: dict[str, Any] = {"a": {"$gte": 1}}
    assert ids(await Item.page(query, sort=[("a", -1)], size=5, total=True, after=token)) == [
        3,
        2,
        1,
    ]
    for other, sort in (
        ({"a": {"$gte": 2}}, [("a", -1)]),
        (None, [("a", -1)]),
        (query, [("a", 1)]),
        (query, [("b", -1)]),
        (query, [("a", -1), ("b", 1)]),
        (query, [("a", -1), ("_id", 1)]),
    ):
        with pytest.raises(PageTokenError, match="belongs to a page of another query"):
            await Item.page(other, sort=sort, after=token)
    with pytest.raises(PageTokenError, match="another query"):
        await Mine.page(query, sort=[("a", -1)], after=token)
    with pytest.raises(PageTokenError, match="another query"):
        await Item.page(query, sort=[("a", -1)], after=token, let={"x": 1})


async def test_a_damaged_token_is_refused(bind: Bind) -> None:
    token = (await first_page(bind)).next
    assert token is not None
    other = ["", "x", "?", "é", token[:-4], token + "AAAA", token[4:], 5, b"x"]
    for place in range(len(token)):
        changed = "B" if token[place] == "A" else "A"
        other.append(token[:place] + changed + token[place + 1 :])
    for each in other:
        if isinstance(each, str) and each[:-1] == token[:-1]:
            continue  # the last letter has bits that stand for nothing
        with pytest.raises(PageTokenError, match="is damaged"):
            await Item.page({"a": {"$gte": 1}}, sort=[("a", -1)], after=each)  # type: ignore[call-overload]


def forged(token: str, values: bytes) -> str:
    """A token of the same query with other values, and a checksum that is right."""
    data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))[4:13] + values
    return base64.urlsafe_b64encode(crc32(data).to_bytes(4) + data).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "values",
    [
        {"0": {"$gt": ""}, "1": 1},
        {"0": {"x": {"$where": "1"}}, "1": 1},
        {"0": {"x": [{"$where": "1"}]}, "1": 1},
        {"0": [1], "1": 1},
        {"0": Regex(".*"), "1": 1},
        {"0": Code("sleep(1000)"), "1": 1},
        {"0": DBRef("a", 1), "1": 1},
        {"0": 1},
        {"0": 1, "1": 2, "2": 3},
        {},
    ],
    ids=repr,
)
async def test_a_forged_token_cannot_be_a_query(bind: Bind, values: dict[str, Any]) -> None:
    token = (await first_page(bind)).next
    assert token is not None
    with pytest.raises(PageTokenError, match="is damaged"):
        await Item.page(
            {"a": {"$gte": 1}}, sort=[("a", -1)], after=forged(token, bson.encode(values))
        )


async def test_a_token_of_bytes_that_are_no_bson_is_refused(bind: Bind) -> None:
    token = (await first_page(bind)).next
    assert token is not None
    deep: dict[str, Any] = {}
    for _ in range(90):
        deep = {"x": deep}
    long = bson.encode({"0": deep, "1": 1})
    for values in (b"", b"\0", long[:-2], long + b"\0", b"\5\0\0\0\1"):
        with pytest.raises(PageTokenError, match="is damaged"):
            await Item.page({"a": {"$gte": 1}}, sort=[("a", -1)], after=forged(token, values))


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"x": value}
    return value


@pytest.mark.parametrize("value", [nested(97), "x" * 6_000_000], ids=["deep", "large"])
async def test_a_forged_token_that_does_not_fit_into_a_query_is_refused(
    bind: Bind, mongo_proxy: FaultProxy, value: Any
) -> None:
    token = (await first_page(bind)).next
    assert token is not None
    after = forged(token, bson.encode({"0": value, "1": 1}))
    with mongo_proxy.recording() as seen, pytest.raises(PageTokenError, match="do not fit into a"):
        await Item.page({"a": {"$gte": 1}}, sort=[("a", -1)], after=after)
    assert seen == []


async def test_values_of_a_forged_token_are_compared_and_stay_inside_of_the_filter(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    token = (await first_page(bind)).next
    assert token is not None
    query: dict[str, Any] = {"a": {"$gte": 1}}
    for value in (MinKey(), {"a": 1}, "$a", "$$ROOT", True):
        values = bson.encode({"0": value, "1": MaxKey()})
        with mongo_proxy.recording() as seen:
            page = await Item.page(query, sort=[("a", -1)], size=9, after=forged(token, values))
        assert set(ids(page)) <= {1, 2, 3, 4, 5}
        inside, _, beyond = seen[0].body["filter"]["$and"]
        assert inside == query
        operators = {name for each in beyond["$or"] for test in each.values() for name in test}
        assert operators <= {"$eq", "$gt", "$lt", "$gte", "$type"}


async def test_ids_of_every_type_make_tokens(bind: Bind) -> None:
    class Keyed(MongoDocument):
        _id: Any

    await bind(Keyed)
    keys = [uuid.UUID(int=5), DAY, Decimal("1.5"), "text", 2**40, ObjectId(), {"x": 1}]
    await Keyed.insert_many([Keyed(_id=key) for key in keys])
    page = await Keyed.page(size=1)
    found = [each._id for each in page.items]
    while page.next:
        page = await Keyed.page(size=1, after=page.next)
        found += [each._id for each in page.items]
    assert found == [each._id for each in await Keyed.find_all(sort="_id")]

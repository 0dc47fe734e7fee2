"""The rows of the tables: what is done, with what, and how it is seen that it was done."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from bson import DBRef, ObjectId

from benchmarks.data import COLLECTIONS, MAKERS, Raw, identity, person, resolved

type Given = list[tuple[Any, ...]]
"""The arguments of each call."""


class Aim(NamedTuple):
    """What was set as a goal: the ratio to raw dictionaries, one at a time and 32 at a time."""

    alone: float | None = None
    together: float | None = None
    microseconds: float | None = None


class Row(NamedTuple):
    title: str
    method: str
    """The contender's method that is measured."""
    given: Callable[[Any, int], Awaitable[Given]]
    """Makes the arguments for so many operations, or documents; not measured."""
    check: Callable[[Any, Given, list[Any], list[Raw]], None]
    """Looks at what calls have returned and written.

    :raises AssertionError: it is not what the row asks for.
    """
    aim: Aim
    sizes: tuple[str, ...] = ()
    """The collections that have as many documents as there are operations."""
    batch: bool = False
    """Whether one call handles all documents; the figures are then for one document."""
    together: bool = False
    """Whether it is measured 32 at a time as well."""
    share: int = 1
    """One of so many operations, as they are large; many documents come in so many calls."""


# -- reads


async def _ids(_: Any, count: int) -> Given:
    return [(identity("people", number),) for number in range(count)]


async def _nothing(_: Any, __: int) -> Given:
    return [()]


async def _posts(_: Any, __: int) -> Given:
    return [("posts",)]


def _one_read(contender: Any, given: Given, results: list[Any], _: list[Raw]) -> None:
    for (wanted,), found in zip(given, results, strict=True):
        assert contender.plain(found) == _original(wanted), contender.plain(found)


def _all_read(contender: Any, _: Given, results: list[Any], __: list[Raw]) -> None:
    for number, found in enumerate(results[0]):
        assert contender.plain(found) == person(number), contender.plain(found)
    assert len(results[0]) == CHECKED


def _cursor_read(contender: Any, _: Given, results: list[Any], __: list[Raw]) -> None:
    count, last = results[0]
    assert (count, contender.plain(last)) == (CHECKED, person(CHECKED - 1)), count


def _articles_read(contender: Any, _: Given, results: list[Any], __: list[Raw]) -> None:
    for number, found in enumerate(results[0]):
        expected = resolved(MAKERS["posts"](number))
        assert contender.plain_article(found) == expected, contender.plain_article(found)
    assert len(results[0]) == CHECKED


# -- writes


async def _new_people(contender: Any, count: int) -> Given:
    return [(contender.make(_without_id(person(number))),) for number in range(count)]


async def _new_list(contender: Any, count: int) -> Given:
    return [([each for (each,) in await _new_people(contender, count)],)]


async def _ids_and_values(_: Any, count: int) -> Given:
    return [(identity("people", number), {"age": 91}) for number in range(count)]


async def _stored_people(contender: Any, _: int) -> Given:
    find = getattr(contender, "find_tracked", contender.find_all)
    return [(each, f"New {number}", 91) for number, each in enumerate(await find())]


async def _stored_posts(contender: Any, _: int) -> Given:
    found = await contender.find_articles("posts")
    return [(each, f"New {number}") for number, each in enumerate(found)]


async def _stored_albums(contender: Any, _: int) -> Given:
    found = await contender.find_articles("albums")
    return [(each, f"New {number}") for number, each in enumerate(found)]


def _inserted(_: Any, __: Given, ___: list[Any], writes: list[Raw]) -> None:
    written = [_without_id(_result(each)) for each in writes]
    assert sorted(written, key=lambda each: each["email"]) == [
        _without_id(person(number)) for number in range(CHECKED)
    ], written


def _updated(_: Any, given: Given, __: list[Any], writes: list[Raw]) -> None:
    expected = [{**_original(each), **values} for each, values in given]
    assert [_result(each) for each in writes] == expected, writes


def _saved(_: Any, given: Given, __: list[Any], writes: list[Raw]) -> None:
    expected = [{**person(number), "name": f"New {number}", "age": 91} for number in range(CHECKED)]
    assert len(given) == CHECKED
    assert [_result(each) for each in writes] == expected, writes


def _cascaded(_: Any, given: Given, __: list[Any], writes: list[Raw]) -> None:
    changed: dict[ObjectId, Raw] = {}
    for number in range(len(given)):
        title = f"New {number}"
        article = MAKERS["posts"](number)
        changed[article["_id"]] = {**article, "title": title}
        changed[article["author"]] = {**_original(article["author"]), "name": title}
        changed |= {each: {**_original(each), "label": title} for each in article["tags"]}
    assert {_id_of(each): _result(each) for each in writes} == changed, writes


def _title_saved(_: Any, given: Given, __: list[Any], writes: list[Raw]) -> None:
    written = {_id_of(each): _result(each) for each in writes}
    for number in range(len(given)):
        album = MAKERS["albums"](number)
        assert written.pop(album["_id"]) == {**album, "title": f"New {number}"}
    for key, other in written.items():  # needless, but not wrong
        assert other == _original(key), other


def _without_id(raw: Raw) -> Raw:
    return {name: value for name, value in raw.items() if name != "_id"}


def _original(key: ObjectId) -> Raw:
    text = str(key)
    return MAKERS[COLLECTIONS[int(text[:8], 16) - 1]](int(text[8:], 16))


def _id_of(write: Raw) -> ObjectId:
    key: ObjectId = write["statement"]["q"]["_id"]
    return key


def _result(write: Raw) -> Raw:
    """What a write leaves in the collection."""
    statement = write["statement"]
    if write["verb"] == "insert":
        result = statement
    else:
        assert set(statement["q"]) == {"_id"}, statement
        update = statement["u"]
        if not any(name.startswith("$") for name in update):
            result = {**statement["q"], **update}
        else:
            assert set(update) == {"$set"}, update
            key = _id_of(write)
            result = {**(_original(key) if _stored(key) else {}), **update["$set"]}
    return {name: _reference_free(value) for name, value in result.items()}


def _stored(key: ObjectId) -> bool:
    """Whether there is a document with that id; others were made by a contender."""
    return 0 < int(str(key)[:8], 16) <= len(COLLECTIONS)


def _reference_free(value: Any) -> Any:
    if isinstance(value, DBRef):
        return value.id
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_reference_free(each) for each in value]
    return value


CHECKED = 3
"""How many operations, or documents, are done to check a row."""

ROWS = (
    Row("find_one", "find_one", _ids, _one_read, Aim(1.08, 1.10), ("people",), together=True),
    Row("insert_one", "insert_one", _new_people, _inserted, Aim(1.08, 1.12), together=True),
    Row("update_one", "update_one", _ids_and_values, _updated, Aim(1.06, 1.08), together=True),
    Row(
        "save, two fields changed", "save", _stored_people, _saved, Aim(1.15, 1.30), ("people",),
        together=True,
    ),
    Row("insert_many, a document", "insert_many", _new_list, _inserted, Aim(1.35), batch=True),
    Row(
        "insert_many, unchecked", "insert_many_unchecked", _new_list, _inserted, Aim(1.20),
        batch=True,
    ),
    Row("find_all, a document", "find_all", _nothing, _all_read, Aim(1.00), ("people",), batch=True),
    Row("cursor, a document", "cursor", _nothing, _cursor_read, Aim(1.00), ("people",), batch=True),
    Row(
        "posts with author and tags, a post", "find_articles", _posts, _articles_read, Aim(1.12),
        ("posts",), batch=True,
        share=10,
    ),
    Row(
        "cascade save, post and 4 references", "cascade", _stored_posts, _cascaded, Aim(1.25),
        ("posts",), share=3,
    ),
    Row(
        "save, 200 unchanged references", "save_title", _stored_albums, _title_saved, Aim(microseconds=3_000),
        ("albums",), share=10,
    ),
)  # fmt: skip
BY_TITLE = {row.title: row for row in ROWS}

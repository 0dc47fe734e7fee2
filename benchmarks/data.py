"""What is stored: the same plain dictionaries for every contender and for the server's replies.

People have no references. A post refers to an author and three tags, an album to an author and 200 tags.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import bson
from bson import ObjectId

type Raw = dict[str, Any]

AUTHORS = TAGS = 200
ALBUM_TAGS = 200
_EPOCH = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
COLLECTIONS = ("people", "authors", "tags", "posts", "albums")


def identity(collection: str, number: int) -> ObjectId:
    return ObjectId(f"{COLLECTIONS.index(collection) + 1:08x}{number:016x}")


def person(number: int) -> Raw:
    """457 bytes of BSON, whatever the number."""
    odd = bool(number % 2)
    return {
        "_id": identity("people", number),
        "name": f"Person {number:08}",
        "email": f"person.{number:08}@example.com",
        "age": number % 90,
        "score": number / 7,
        "active": odd,
        "level": "gold" if odd else "base",
        "address": {
            "street": f"{number:08} High Street",
            "city": "New Brighton",
            "postcode": f"{number:08}",
        },
        "tags": ["first", "second", f"third {number:08}"],
        "visits": {
            "monday": number % 7,
            "thursday": number % 5,
            "friday": 3,
            "saturday": 0,
            "sunday": 9,
        },
        "created": _EPOCH + dt.timedelta(seconds=number),
        "picture": number.to_bytes(8, "big") * 4,
        "nickname": f"nick {number:08}",
    }


def author(number: int) -> Raw:
    return {
        "_id": identity("authors", number),
        "name": f"Author {number:04}",
        "email": f"author.{number:04}@example.com",
    }


def tag(number: int) -> Raw:
    return {"_id": identity("tags", number), "label": f"tag {number:04}"}


def post(number: int) -> Raw:
    return _article("posts", number, 3)


def album(number: int) -> Raw:
    return _article("albums", number, ALBUM_TAGS)


def _article(collection: str, number: int, tags: int) -> Raw:
    return {
        "_id": identity(collection, number),
        "title": f"Title {number:08}",
        "body": f"What number {number:08} has to say. " * 4,
        "created": _EPOCH + dt.timedelta(seconds=number),
        "author": identity("authors", number % AUTHORS),
        "tags": [identity("tags", (number + each) % TAGS) for each in range(tags)],
    }


def resolved(article: Raw) -> Raw:
    """An article with documents where its references are."""
    authors, tags = by_id("authors"), by_id("tags")
    return {
        **article,
        "author": authors[article["author"]],
        "tags": [tags[each] for each in article["tags"]],
    }


MAKERS: dict[str, Callable[[int], Raw]] = {
    "people": person,
    "authors": author,
    "tags": tag,
    "posts": post,
    "albums": album,
    "joined_posts": lambda number: resolved(post(number)),
    "joined_albums": lambda number: resolved(album(number)),
}


@cache
def by_id(collection: str) -> dict[ObjectId, Raw]:
    """All authors, or all tags."""
    return {raw["_id"]: raw for raw in map(MAKERS[collection], range(AUTHORS))}


class Stored:
    """Documents as BSON, made when they are first asked for."""

    def __init__(self, collection: str) -> None:
        self._make = MAKERS[collection]
        self._documents: list[bytes] = []
        self._places: dict[Any, int] = {}

    def first(self, count: int) -> list[bytes]:
        for number in range(len(self._documents), count):
            raw = self._make(number)
            self._places[raw["_id"]] = number
            self._documents.append(bson.encode(raw))
        return self._documents[:count]

    def matching(self, filter: Raw, count: int) -> list[bytes]:
        """Of the first *count*, those that a filter by ``_id`` names; any other filter: all."""
        wanted = filter.get("_id")
        if wanted is None:
            return self.first(count)
        if len(self._documents) < count:
            self.first(count)
        if not isinstance(wanted, dict):
            ids = [wanted]
        else:
            ids = wanted["$in"] if "$in" in wanted else [wanted["$eq"]]
        places = sorted(self._places[each] for each in ids if each in self._places)
        return [self._documents[place] for place in places if place < count]


@cache
def stored(collection: str) -> Stored:
    return Stored(collection)


def array(documents: Iterable[bytes]) -> bytes:
    """A BSON array of documents, which is also how mongojet's driver hands over a batch."""
    body = b"".join(b"\x03%d\0%b" % (number, document) for number, document in enumerate(documents))
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"

"""Versions and shard keys in a cascade: each document is compared as by its own save."""

from typing import Any

import pytest

from mongospec_core import (
    DocumentNotFoundError,
    OperationError,
    StaleDocumentError,
    changes,
    transaction,
)
from mongospec_refs import CascadeSaveError, MongoDocument
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored


class Author(MongoDocument, version_field="version"):
    __shard_key__ = ("country",)

    name: str
    country: str = "it"
    version: int = 0


class Book(MongoDocument, version_field="version"):
    title: str
    authors: list[Author] = []
    version: int = 0


async def shelf(bind: Bind) -> Book:
    await bind(Author, Book)
    authors = [await Author(name=name).insert() for name in "ab"]
    await Book(title="t", authors=authors).insert()
    return await Book.get_one()


async def test_a_cascade_compares_and_raises_what_it_writes(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    book = await shelf(bind)
    for author in book.authors:
        author.name += "!"
    book.title = "u"
    with mongo_proxy.recording() as seen:
        await book.save()
    assert [command.collection for command in seen] == ["Author", "Book"]
    own = {"country": "it", "version": {"$in": [0, None]}}
    assert [each["q"] for each in seen[0].body["updates"]] == [
        {"_id": author.id} | own for author in book.authors
    ]
    assert [each.version for each in (book, *book.authors)] == [1, 1, 1]
    with mongo_proxy.recording() as seen:
        await book.save()
        await Book.save_many([book])
    assert seen == []


async def test_a_stale_reference_ends_the_cascade(bind: Bind) -> None:
    book = await shelf(bind)
    first, second = book.authors
    await Author.update_by_id(second.id, {"$set": {"name": "theirs"}})
    first.name, second.name, book.title = "mine", "mine", "u"
    with pytest.raises(CascadeSaveError) as caught:
        await book.save()
    error = caught.value
    assert isinstance(error, StaleDocumentError)
    assert isinstance(error, OperationError)
    assert (error.document, error.expected) == (second, 0)
    assert (error.written, error.unsent, error.outcome) == ([first], [book], "partial")
    assert [each.expected for each in error.failures] == [0]
    assert [each["name"] for each in await stored(Author)] == ["mine", "theirs"]
    assert [each.version for each in (first, second, book)] == [1, 0, 0]
    await second.reload()
    second.name = "mine"
    await book.save()
    assert [each.version for each in (first, second, book)] == [1, 2, 1]


async def test_a_version_that_was_set_in_a_reference_is_compared(bind: Bind) -> None:
    book = await shelf(bind)
    book.authors[1].version = 77
    for write in (book.save, lambda: Book.save_many([book])):
        with pytest.raises(CascadeSaveError) as caught:
            await write()
        assert [each.expected for each in caught.value.failures] == [77]
        assert caught.value.outcome == "not_applied"
    assert [each["version"] for each in await stored(Author)] == [0, 0]


async def test_a_stale_root_says_which_references_were_saved(bind: Bind) -> None:
    book = await shelf(bind)
    await Book.update_by_id(book.id, {"$set": {"title": "theirs"}})
    book.authors[0].name, book.title = "mine", "mine"
    with pytest.raises(StaleDocumentError) as caught:
        await book.save()
    assert (caught.value.document, caught.value.outcome) == (book, "partial")
    assert f"Author {book.authors[0].id!r}" in caught.value.__notes__[0]


async def test_a_reference_that_is_gone_is_not_stale(bind: Bind) -> None:
    book = await shelf(bind)
    await Author.delete_by_id(book.authors[0].id)
    book.authors[0].name = "mine"
    with pytest.raises(CascadeSaveError, match="is not in the collection") as caught:
        await book.save()
    assert not isinstance(caught.value, StaleDocumentError)


async def test_a_reference_that_changes_its_shard_key_is_sent_by_itself(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    book = await shelf(bind)
    first, second = book.authors
    first.country, second.name = "fr", "mine"
    with mongo_proxy.recording() as seen:
        await book.save()
    assert [[each["q"]["_id"] for each in command.body["updates"]] for command in seen] == [
        [first.id],
        [second.id],
    ]
    assert ["txnNumber" in command.body for command in seen] == [True, False]
    assert [each["country"] for each in await stored(Author)] == ["fr", "it"]


async def test_an_abort_takes_the_versions_of_a_cascade_back(bind: Bind) -> None:
    book = await shelf(bind)

    async def write() -> None:
        async with transaction():
            book.authors[0].name, book.title = "mine", "mine"
            await book.save()
            assert [each.version for each in (book, *book.authors)] == [1, 1, 0]
            raise KeyError

    with pytest.raises(KeyError):
        await write()
    assert [each.version for each in (book, *book.authors)] == [0, 0, 0]
    assert changes(book) == {"title": "mine"}
    await book.save()
    assert [each["version"] for each in await stored(Author)] == [1, 0]


async def test_an_unresolved_reference_compares_nothing(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    await shelf(bind)
    book: Any = await Book.get_one(resolve_refs=False)
    await Author.update_many({}, {"$set": {"name": "theirs"}})
    book.title = "u"
    with mongo_proxy.recording() as seen:
        await book.save()
    assert [command.collection for command in seen] == ["Book"]
    await Book.delete_by_id(book.id)
    book.title = "v"
    with pytest.raises(DocumentNotFoundError):
        await book.save()

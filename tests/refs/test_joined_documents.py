"""Whole documents in the results of a pipeline: what ``$lookup`` and ``$facet`` put there."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from mongospec_core import DocumentValidationError, changes, transaction
from mongospec_core.extension import snapshot_of
from mongospec_refs import MongoDocument, is_resolved
from mongospec_testing import FaultProxy
from tests.conftest import Bind
from tests.core.raw import stored


class Author(MongoDocument):
    name: str
    fee: Decimal = Decimal(0)
    took: timedelta = timedelta(0)


class Story(MongoDocument):
    title: str
    author: Author
    editors: list[Author] = []
    words: int = 0


class Reply(MongoDocument):
    text: str
    story: Story
    old: bool = False

    @classmethod
    def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
        if "body" in raw:
            raw["text"] = raw.pop("body")
            raw["old"] = True
        return raw


class Thread(msgspec.Struct):
    title: str
    replies: list[Reply]


class Shelf(msgspec.Struct):
    rows: list[Story]
    total: list[dict[str, int]]


def lookup(collection: str, local: str, foreign: str, to: str) -> dict[str, Any]:
    keys = {"from": collection, "localField": local, "foreignField": foreign, "as": to}
    return {"$lookup": keys}


REPLIES = lookup("Reply", "_id", "story", "replies")
WRITER = [lookup("Author", "author", "_id", "author"), {"$unwind": "$author"}]


async def story(bind: Bind) -> Story:
    await bind(Author, Story, Reply)
    author = await Author(name="Ada", fee=Decimal("1.50"), took=timedelta(hours=1)).insert()
    editor = await Author(name="Eve").insert()
    return await Story(title="t", author=author, editors=[editor, author]).insert()


async def test_documents_that_a_lookup_brings_are_read_as_their_class(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    one = await story(bind)
    replies = [await Reply(text=text, story=one).insert() for text in ("a", "b")]
    with mongo_proxy.recording() as seen:
        (thread,) = await Story.aggregate([REPLIES], into=Thread).to_list()
    assert thread == Thread("t", replies)
    assert [each.collection for each in seen] == ["Story", "Story", "Author"]
    first, second = thread.replies
    assert first.story is second.story
    assert first.story.author.fee == Decimal("1.50")
    assert changes(first) == {} == changes(first.story)


async def test_a_joined_document_saves_what_changed_and_nothing_else(bind: Bind) -> None:
    one = await story(bind)
    await Reply(text="a", story=one).insert()
    (thread,) = await Story.aggregate([REPLIES], into=Thread).to_list()
    await Reply.update_many({}, {"$set": {"old": True}})  # another writer
    thread.replies[0].text = "c"
    assert changes(thread.replies[0]) == {"text": "c"}
    await thread.replies[0].save()
    (raw,) = await stored(Reply)
    assert (raw["text"], raw["old"], raw["story"]) == ("c", True, one.id)


async def test_a_document_with_its_references_joined_into_it_is_that_document(
    bind: Bind, mongo_proxy: FaultProxy
) -> None:
    one = await story(bind)
    with mongo_proxy.recording() as seen:
        (found,) = await Story.aggregate(WRITER, into=Story).to_list()
    assert found == one
    assert [each.collection for each in seen] == ["Story", "Author"]  # the other editor
    assert found.author is found.editors[1]
    assert changes(found) == {} == changes(found.author)
    found.words = 7
    found.author.name = "Bea"
    await found.save()
    (raw,) = await stored(Story)
    assert (raw["words"], raw["author"]) == (7, one.author.id)
    assert (await Author.get_by_id(one.author.id)).name == "Bea"


async def test_rows_of_a_facet_are_documents(bind: Bind) -> None:
    one = await story(bind)
    facet = [{"$facet": {"rows": [{"$limit": 9}], "total": [{"$count": "n"}]}}]
    (shelf,) = await Story.aggregate(facet, into=Shelf).to_list()
    assert shelf == Shelf([one], [{"n": 1}])


async def test_lookups_within_lookups(bind: Bind) -> None:
    one = await story(bind)
    reply = await Reply(text="a", story=one).insert()
    nested = [
        *[lookup("Story", "story", "_id", "story"), {"$unwind": "$story"}],
        lookup("Author", "story.author", "_id", "story.author"),
        {"$unwind": "$story.author"},
    ]
    (found,) = await Reply.aggregate(nested, into=Reply).to_list()
    assert found == reply
    assert is_resolved(found.story.author)
    assert changes(found) == {} == changes(found.story)


async def test_an_old_document_is_upgraded_where_it_is_joined(bind: Bind) -> None:
    one = await story(bind)
    await Reply.get_collection().insert_one({"body": "from long ago", "story": one.id})
    (thread,) = await Story.aggregate([REPLIES], into=Thread).to_list()
    (reply,) = thread.replies
    assert (reply.text, reply.old) == ("from long ago", True)
    assert changes(reply) == {}


async def test_a_joined_document_that_does_not_fit_is_named_by_its_place(bind: Bind) -> None:
    one = await story(bind)
    await Author.get_collection().update_one({"_id": one.author.id}, {"$set": {"fee": "much"}})
    with pytest.raises(DocumentValidationError, match=r"Story\.author\.fee .*decimal") as caught:
        await Story.aggregate(WRITER, into=Story).to_list()
    assert "a result of the pipeline" in str(caught.value)
    assert "stored like this" not in str(caught.value)
    await Reply.get_collection().insert_one({"body": 7, "story": one.id})
    with pytest.raises(
        DocumentValidationError, match=r"Thread\.replies\[0\] .*not read as a Reply"
    ):
        await Story.aggregate([REPLIES], into=Thread).to_list()


async def test_a_joined_document_without_its_id_is_refused(bind: Bind) -> None:
    await story(bind)
    hidden = [*WRITER, {"$unset": "author._id"}]
    with pytest.raises(DocumentValidationError, match=r"Story\.author .*without its _id"):
        await Story.aggregate(hidden, into=Story).to_list()


async def test_what_an_aborted_transaction_joined_is_of_unknown_content(bind: Bind) -> None:
    one = await story(bind)
    await Reply(text="a", story=one).insert()
    with pytest.raises(KeyError):
        async with transaction():
            (thread,) = await Story.aggregate([REPLIES], into=Thread).to_list()
            raise KeyError
    assert not isinstance(snapshot_of(thread.replies[0]), bytes)


async def test_a_stored_copy_in_the_place_of_a_reference_is_refused_elsewhere(bind: Bind) -> None:
    one = await story(bind)
    copy = one.author.dump()
    await Story.get_collection().update_one({"_id": one.id}, {"$set": {"author": copy}})
    with pytest.raises(DocumentValidationError, match="looks like an embedded copy of a Author"):
        await Story.find_all()

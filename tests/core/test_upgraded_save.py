"""A save of a document that ``__upgrade__`` brought to today's shape leaves no old shape behind."""

import copy
import pickle
from typing import Any

from bson import ObjectId

from mongospec_core import MongoDocument, changes
from tests.conftest import Bind


class RenamedNote(MongoDocument):
    text: str
    stars: int = 0

    @classmethod
    def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
        if "body" in raw:  # the obvious way: it would run again on whatever still has a body
            raw["text"] = raw.pop("body")
            raw["origin"] = "upgraded"  # a field that the class does not declare
        return raw


async def _stored_old() -> ObjectId:
    old = {"_id": ObjectId(), "body": "old", "extra": 1}
    await RenamedNote.get_collection().insert_one(old)
    return old["_id"]


async def test_a_renamed_field_that_is_changed_stays_changed(bind: Bind) -> None:
    await bind(RenamedNote)
    note = await RenamedNote.find_by_id(await _stored_old())
    assert note is not None
    note.text = "new"
    await note.save()
    again = await RenamedNote.find_by_id(note.id)
    assert again is not None
    assert again.text == "new"


async def test_a_save_of_any_change_stores_the_new_shape_and_keeps_undeclared_fields(
    bind: Bind,
) -> None:
    await bind(RenamedNote)
    note = await RenamedNote.find_by_id(await _stored_old())
    assert note is not None
    note.stars = 5
    await note.save()
    assert await RenamedNote.get_collection().find_one({}) == {
        "_id": note.id,
        "extra": 1,
        "text": "old",
        "origin": "upgraded",
        "stars": 5,
    }
    assert changes(note) == {}


async def test_an_upgraded_document_just_read_has_no_changes_nor_have_its_copies(
    bind: Bind,
) -> None:
    await bind(RenamedNote)
    note = await RenamedNote.find_by_id(await _stored_old())
    assert note is not None
    for each in (note, copy.copy(note), copy.deepcopy(note), pickle.loads(pickle.dumps(note))):
        assert changes(each) == {}
        each.stars += 1
        assert changes(each).keys() == {"body", "text", "origin", "stars"}
        each.stars -= 1

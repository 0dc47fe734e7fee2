"""Hooks: what a class does before its documents are saved, updated, searched and read."""

import asyncio
import os
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, override

import msgspec

import mongospec
from mongospec import MongoDocument

URI = os.environ.get("MONGODB_URI", "mongodb://localhost:27017")

current_team: ContextVar[str] = ContextVar("current_team")


def now() -> datetime:
    return datetime.now(UTC)


class Document(MongoDocument, abstract=True):
    """Keeps ``updated_at`` right, whichever way a document is written."""

    created_at: datetime = msgspec.field(default_factory=now)
    updated_at: datetime = msgspec.field(default_factory=now)

    @override
    def __pre_save__(self) -> None:
        """Before insert, insert_many, save and their like: change the document."""
        self.updated_at = now()

    @override
    @classmethod
    def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
        """Before an update by operators: change the copy, return what is to be sent."""
        update.setdefault("$set", {}).setdefault("updated_at", now())
        return update


class Note(Document):
    """Belongs to a team; its stored shape once had another name for the text."""

    __collection_name__ = "notes"

    team: str
    text: str
    history: list[str] = []

    @override
    def __pre_save__(self) -> None:
        """Adds to what the base does."""
        super().__pre_save__()
        self.history.append(self.text)

    @override
    @classmethod
    async def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
        """Before a search: only this team's notes, whatever the caller asks for.

        A hook may be a coroutine. ``$and`` keeps the caller's own keys from winning.
        """
        return {"$and": [filter, {"team": current_team.get()}]}

    @classmethod
    def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
        """Before a stored document is read: bring old ones to today's shape."""
        if "text" not in raw:
            raw["text"] = raw.pop("body")
        return raw


async def main() -> None:
    current_team.set("blue")
    async with mongospec.connect(
        URI, document_types=[Note], database="mongospec_lifecycle_hooks"
    ) as database:
        await Note.delete_many({}, skip_hooks=True)

        note = await Note(team="blue", text="Buy tea").insert()
        inserted_at = note.updated_at
        note.text = "Buy green tea"
        await note.save()
        assert note.updated_at > inserted_at
        print("__pre_save__ kept the history:", note.history)

        update = {"$set": {"text": "Buy coffee"}}
        await Note.update_by_id(note.id, update)
        print("__pre_update__ left the caller's update as it was:", update)
        updated = await Note.find_by_id(note.id)
        assert updated is not None
        assert updated.updated_at > note.updated_at
        print("and stored the time of the change:", updated.text)

        await Note(team="red", text="A secret of the red team").insert()
        print("__pre_find__:", await Note.count(), "note of this team")
        print("A caller's key does not win:", await Note.count({"team": "red"}))
        print("Left out on purpose:", await Note.count(skip_hooks=True), "notes of all teams")

        old = {
            "team": "blue",
            "body": "Written years ago",
            "created_at": now(),
            "updated_at": now(),
        }
        await database["notes"].insert_one(old)
        found = await Note.find_one({"body": {"$exists": True}}, check=False)
        assert found is not None
        print("__upgrade__ read an old document:", found.text)

    print("Four hooks kept the timestamps, the history, the scope and an old note readable.")


if __name__ == "__main__":
    asyncio.run(main())

"""Which operation calls which hook: found out by calling every one of them."""

from collections.abc import Awaitable, Callable, Mapping
from itertools import groupby
from typing import Any

from pymongo import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne

HOOKS = ("__pre_save__", "__pre_update__", "__pre_find__", "__upgrade__")

type Try = Callable[[Any, Any], Awaitable[Any]]

EVERY = {"name": {"$ne": "never"}}
SET: dict[str, Any] = {"$set": {"name": "set"}}

OPERATIONS: Mapping[str, Try] = {
    "insert": lambda cls, _: cls(name="new").insert(),
    "insert_one": lambda cls, _: cls.insert_one(cls(name="new")),
    "insert_many": lambda cls, _: cls.insert_many([cls(name="new")]),
    "insert_if_not_exists": lambda cls, _: cls.insert_if_not_exists(
        cls(name="new"), {"name": "new"}
    ),
    "save": lambda _, document: document.save(),
    "save_many": lambda cls, document: cls.save_many([document]),
    "find": lambda cls, _: cls.find(EVERY).to_list(),
    "find_one": lambda cls, _: cls.find_one(EVERY),
    "find_by_id": lambda cls, document: cls.find_by_id(document.id),
    "find_all": lambda cls, _: cls.find_all(EVERY),
    "get_one": lambda cls, _: cls.get_one(EVERY),
    "get_by_id": lambda cls, document: cls.get_by_id(document.id),
    "page": lambda cls, _: cls.page(EVERY, total=True),
    "reload": lambda _, document: document.reload(),
    "count": lambda cls, _: cls.count(EVERY),
    "count_documents": lambda cls, _: cls.count_documents(EVERY),
    "exists": lambda cls, _: cls.exists(EVERY),
    "distinct": lambda cls, _: cls.distinct("name", EVERY),
    "update_one": lambda cls, _: cls.update_one(EVERY, SET),
    "update_many": lambda cls, _: cls.update_many(EVERY, SET),
    "update_by_id": lambda cls, document: cls.update_by_id(document.id, SET),
    "find_one_and_update": lambda cls, _: cls.find_one_and_update(EVERY, SET),
    "find_one_and_replace": lambda cls, _: cls.find_one_and_replace(EVERY, cls(name="new")),
    "find_one_and_delete": lambda cls, _: cls.find_one_and_delete(EVERY),
    "delete_one": lambda cls, _: cls.delete_one(EVERY),
    "delete_many": lambda cls, _: cls.delete_many(EVERY),
    "delete_by_id": lambda cls, document: cls.delete_by_id(document.id),
    "delete": lambda _, document: document.delete(),
    "aggregate": lambda cls, _: cls.aggregate([{"$match": EVERY}]).to_list(),
    "estimated_document_count": lambda cls, _: cls.estimated_document_count(),
    "bulk_write: InsertOne": lambda cls, _: cls.bulk_write([InsertOne(cls(name="new"))]),
    "bulk_write: ReplaceOne": lambda cls, _: cls.bulk_write([ReplaceOne(EVERY, cls(name="new"))]),
    "bulk_write: UpdateOne": lambda cls, _: cls.bulk_write([UpdateOne(EVERY, SET)]),
    "bulk_write: UpdateMany": lambda cls, _: cls.bulk_write([UpdateMany(EVERY, SET)]),
    "bulk_write: DeleteOne": lambda cls, _: cls.bulk_write([DeleteOne(EVERY)]),
    "bulk_write: DeleteMany": lambda cls, _: cls.bulk_write([DeleteMany(EVERY)]),
}

OF_REFERENCES: Mapping[str, Try] = {
    "fetch": lambda cls, document: cls.ref(document.id).fetch(),
    "insert_recursive": lambda cls, _: cls(name="new").insert_recursive(),
    "insert_one_recursive": lambda cls, _: cls.insert_one_recursive(cls(name="new")),
}


def recording(base: Any) -> tuple[Any, set[str]]:
    """A document class whose hooks note that they were called, and the set they note it in."""
    called: set[str] = set()

    class Recorded(base):
        name: str

        def __pre_save__(self) -> None:
            called.add("__pre_save__")

        @classmethod
        def __pre_update__(cls, update: dict[str, Any]) -> dict[str, Any]:
            called.add("__pre_update__")
            return update

        @classmethod
        def __pre_find__(cls, filter: dict[str, Any]) -> dict[str, Any]:
            called.add("__pre_find__")
            return filter

        @classmethod
        def __upgrade__(cls, raw: dict[str, Any]) -> dict[str, Any]:
            called.add("__upgrade__")
            return raw

    return Recorded, called


def table(called: Mapping[str, set[str]]) -> str:
    """The Markdown table; neighbours that call the same hooks share a row."""
    rows = [" | ".join(["| Operation", *(f"`{hook}`" for hook in HOOKS)]) + " |", "|---" * 5 + "|"]
    for hooks, operations in groupby(called, lambda operation: called[operation]):
        marks = ("yes" if hook in hooks else "" for hook in HOOKS)
        rows.append(" | ".join([f"| {', '.join(map(_shown, operations))}", *marks]) + " |")
    return "\n".join(rows)


def _shown(operation: str) -> str:
    verb, _, of_bulk_write = operation.partition(": ")
    return f"`{verb}([{of_bulk_write}(...)])`" if of_bulk_write else f"`{verb}`"

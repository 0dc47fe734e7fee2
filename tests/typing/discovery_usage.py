"""What type checkers know of discovered classes. Read by them, never run."""

import json
import re
from typing import assert_type

import mongojet

import mongospec
from mongospec.utils import collect_document_types
from mongospec_core import MongoDocument


class Document(mongospec.MongoDocument):
    level: int = 0


class User(Document):
    name: str = ""


def keep(cls: type[MongoDocument]) -> bool:
    return cls.__name__ != "Old"


def keep_document(cls: type[Document]) -> bool:
    return cls.__name__ != "Old"


def note(name: str, error: Exception) -> None: ...


async def lists(db: mongojet.Database) -> None:
    found = collect_document_types("myapp.models")
    assert_type(found, list[type[MongoDocument]])
    await mongospec.init(db, document_types=found)
    assert_type(collect_document_types("a", base=Document), list[type[Document]])
    assert_type(collect_document_types("a", base=User, return_map=False), list[type[User]])


def maps() -> None:
    assert_type(collect_document_types("a", return_map=True), dict[str, type[MongoDocument]])
    by_name = collect_document_types("a", base=Document, return_map=True)
    assert_type(by_name, dict[str, type[Document]])
    assert_type(by_name["a.User"](level=3), Document)


def every_option() -> None:
    collect_document_types(
        [json, "a.models"],
        base=Document,
        include_base=True,
        local_only=False,
        ignore_abstract=False,
        predicate=keep_document,
        module_filter=re.compile("models"),
        on_error=note,
        recursive=False,
        unique=False,
    )
    collect_document_types(json, predicate=keep, module_filter="models", on_error="ignore")
    collect_document_types(("a", json), module_filter=lambda name: name != "a", on_error="raise")
    collect_document_types("a", base=Document, predicate=keep)


def misuse() -> None:
    collect_document_types(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    collect_document_types("a", on_error="log")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    collect_document_types("a", base="b")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    collect_document_types("a", unqiue=False)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    collect_document_types("a", predicate=keep_document)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

"""A contender's objects as plain dictionaries, by their attributes: for checks, never timed."""

import datetime as dt
from enum import Enum
from typing import Any

from benchmarks.data import Raw, person

FIELDS = tuple(person(0))[1:]


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return value.replace(tzinfo=dt.UTC)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return bytes(value)
    if hasattr(value, "street"):
        return {name: getattr(value, name) for name in ("street", "city", "postcode")}
    if isinstance(value, list):
        return list(value)
    return dict(value) if isinstance(value, dict) else value


def plain_person(document: Any, fields: tuple[str, ...] = FIELDS) -> Raw:
    return {"_id": document.id, **{name: _plain(getattr(document, name)) for name in fields}}


def plain_article(document: Any) -> Raw:
    return {
        **plain_person(document, ("title", "body", "created")),
        "author": plain_person(document.author, ("name", "email")),
        "tags": [plain_person(each, ("label",)) for each in document.tags],
    }

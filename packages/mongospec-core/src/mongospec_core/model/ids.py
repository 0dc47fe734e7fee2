"""Ids: what may be one, the filter for one, and those that are made for new documents."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import datetime as dt
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Self, cast

from bson import ObjectId, Regex
from msgspec.structs import force_setattr

from mongospec_core.errors import InvalidIdError, shown
from mongospec_core.model.snapshot import is_new, set_snapshot
from mongospec_core.server.operation import Operation

_SCALARS = frozenset({ObjectId, str, int, float, bool, bytes, uuid.UUID, dt.datetime, Decimal})


def check_id(cls: type, raw: Any) -> Any:
    """Return a raw ``_id`` if MongoDB reads it as a value wherever it is sent.

    :raises InvalidIdError: it is a dict with keys that MongoDB reads as operators, or a pattern.
    """
    if isinstance(raw, re.Pattern | Regex):
        raise InvalidIdError(f"{cls.__name__}: {shown(raw)} is not an id, but a regular expression")
    if isinstance(raw, dict) and any(key.startswith("$") for key in cast("dict[str, Any]", raw)):
        raise InvalidIdError(
            f"{cls.__name__}: {shown(raw)} is not an id: keys of an _id cannot begin with $; to look "
            f"documents up by operators, use a filter"
        )
    return raw


def id_filter(cls: type, raw: Any) -> dict[str, Any]:
    """Return the filter for one raw ``_id``, which is a value and never an operator.

    :raises InvalidIdError: MongoDB would read it as operators.
    """
    if type(raw) in _SCALARS:
        return {"_id": raw}
    return {"_id": {"$eq": check_id(cls, raw)}}


_AT_ONCE = 1_000


def new_ids(count: int) -> Iterator[ObjectId]:
    """Make up to *count* ids as ``ObjectId()`` does, each in less than half of its time.

    They take their numbers from its counter, so that all ids of a process are in one order.
    """
    while count > 0:
        size = min(count, _AT_ONCE)
        with ObjectId._inc_lock:
            first = ObjectId._inc
            ObjectId._inc = (first + size) % 2**24
        head = int(time.time()).to_bytes(4) + ObjectId._random()
        for number in range(first, first + size):
            yield ObjectId(head + (number % 2**24).to_bytes(3))
        count -= size


class Ids:
    """Assigns ids, and removes them from documents that were certainly not written.

    A document without ``_id`` is new, even if it is a copy of a stored one.

    :param upsert: the documents are saved, so a copy is compared with what it was copied from.
    """

    def __init__(self, documents: Sequence[Any], *, upsert: bool = False) -> None:
        self.documents = documents
        self.upsert = upsert
        self.sent = False
        self._fresh: set[int] = set()

    def __enter__(self) -> Self:
        ids = new_ids(len(self.documents))
        for document in self.documents:
            if document._id is None:
                force_setattr(document, "_id", next(ids))
                self._fresh.add(id(document))
                if not self.upsert:
                    set_snapshot(document, None)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None and not self.sent:
            self.take_back()

    def is_inserted(self, call: Operation, document: Any, error: object) -> bool:
        """Return whether an error says that a document which got its ``_id`` here already exists."""
        return id(document) in self._fresh and is_inserted(call, document, error)

    def take_back(self, document: Any = None) -> None:
        """Remove the id from *document* (default: from all) if it was assigned here.

        A document that was written all the same (by another task, or because it was listed twice)
        keeps it.
        """
        for each in self.documents if document is None else (document,):
            if id(each) in self._fresh:
                take_back_id(each)


def is_inserted(call: Operation, document: Any, error: object) -> bool:
    """Return whether an error says that the ``_id`` generated for this insert already exists.

    It is unique, so the driver sent the insert twice and the first attempt succeeded, unless
    another write of this object was acknowledged.
    """
    pattern: Any = getattr(error, "key_pattern", None)
    return call.is_alone and is_new(document) and pattern is not None and list(pattern) == ["_id"]


def take_back_id(document: Any) -> None:
    """Take back the ``_id`` that was made for a write, unless another write stored the document."""
    if is_new(document):
        force_setattr(document, "_id", None)

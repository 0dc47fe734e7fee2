"""The filter for the stored copy of a document: its ``_id``, its shard key, its version.

Every write of a document object sends this filter. For a class without ``__shard_key__`` and
``version_field=`` it is the ``_id`` alone.
"""

import datetime as dt
import re
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

from bson import ObjectId, Regex

from mongospec_core.codec.codec_options import decode, encode
from mongospec_core.codec.plan import Plan
from mongospec_core.errors import DuplicateKeyError, InvalidIdError, StaleDocumentError, shown
from mongospec_core.model.snapshot import (
    Snapshot,
    as_stored,
    bson_equal,
    join_elements,
    snapshot_of,
    split_elements,
)
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


def own_filter(plan: Plan[Any], document: Any, id_: Any) -> dict[str, Any]:
    """Return the filter for the stored copy of *document*, unless another write changed it.

    :param id_: its raw ``_id``.
    :raises InvalidIdError: that cannot be an id.
    """
    wanted = id_filter(plan.cls, id_)
    if plan.guarded:
        if plan.shard_key:
            form = snapshot_of(document)
            if isinstance(form, Snapshot) and form.original is not None:
                form = form.original
            stored = decode(form) if isinstance(form, bytes) else plan.encode(document)
            wanted |= {path: _equal(stored, path) for path in plan.shard_key if path != "_id"}
        if plan.version is not None:
            # A document that was stored before its class had versions counts as version 0.
            wanted[plan.version] = version_of(plan, document) or {"$in": [0, None]}
    return wanted


def moves(plan: Plan[Any], own: Mapping[str, Any], raw: Mapping[str, Any]) -> bool:
    """Return whether a write changes the shard key, which MongoDB accepts only in a single write.

    :param own: the document's own filter.
    :param raw: the document as it will be stored.
    """
    for path in plan.shard_key:
        if path != "_id":
            before, now = own[path], _equal(raw, path)
            alike = type(before) is type(now) and before == now
            if not alike and not bson_equal(as_stored(before), as_stored(now)):
                return True
    return False


def _equal(raw: Mapping[str, Any], path: str) -> Any:
    """Return the value at *path* for an equality filter; a missing field counts as None."""
    value: Any = raw
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return {"$eq": value} if isinstance(value, dict) else value


# -- versions


def version_of(plan: Plan[Any], document: Any) -> int:
    """Return the version that *document* was read with."""
    assert plan.version_field is not None
    version: int = getattr(document, plan.version_field)
    return version


def raised(plan: Plan[Any], document: Any, data: bytes) -> tuple[int, bytes, bytes]:
    """Return the next version of *document*, its BSON element, and *data* with that version."""
    assert plan.version is not None
    version = version_of(plan, document) + 1
    elements = split_elements(data)
    element = elements[plan.version] = encode({plan.version: version})[4:-1]
    return version, element, join_elements(elements.values())


def stale(document: Any, expected: int) -> StaleDocumentError:
    """Return the error for a document that another write changed since it was read."""
    cls = type(document)
    return StaleDocumentError(
        f"{cls.__name__} with _id={shown(document._id)} was changed since it was read: its "
        f"{cls.__version_field__} is not {expected} any more; it was not written, so read it again "
        f"and do once more what was to be done",
        document=document,
        expected=expected,
    )


def refuse_taken(document: Any, version: int | None, error: BaseException) -> None:
    """Raise StaleDocumentError if an upsert failed because the ``_id`` is there in another version.

    :param version: the version that was read; None if none is compared.
    :raises StaleDocumentError: the document was changed since it was read.
    """
    if version is None or not isinstance(error, DuplicateKeyError):
        return
    if list(error.key_pattern or ()) == ["_id"]:
        raise stale(document, version) from error


async def refuse_stale(
    call: Operation, plan: Plan[Any], document: Any, id_: Any, version: int | None
) -> None:
    """Raise StaleDocumentError if a write found nothing because the document was changed.

    :param id_: its raw ``_id``.
    :param version: the version that was read; None for a class without versions.
    :raises StaleDocumentError: the document is there in another version.
    """
    if plan.version is None or version is None:
        return
    look = call.look("find_one", {plan.version: 1})
    found = await look.send("find_one", encode(id_filter(plan.cls, id_)))
    if found is not None and (decode(found).get(plan.version) or 0) != version:
        raise stale(document, version)

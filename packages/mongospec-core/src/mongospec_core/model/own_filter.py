"""The filter for the stored copy of a document: its ``_id``, its shard key, its version.

Every write of a document object sends this filter. For a class without ``__shard_key__`` and
``version_field=`` it is the ``_id`` alone.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from collections.abc import Mapping
from typing import Any

from mongospec_core.codec.codec_options import decode
from mongospec_core.codec.elements import as_stored, bson_equal
from mongospec_core.codec.plan import Plan
from mongospec_core.model.ids import id_filter
from mongospec_core.model.snapshot import Snapshot, snapshot_of
from mongospec_core.model.version import version_of


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
            version: Any = version_of(plan, document)
            if type(version) is not int:  # set by hand: never an operator
                wanted[plan.version] = {"$eq": version}
            else:
                wanted[plan.version] = version or {"$in": [0, None]}
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

"""Equality of documents that refer to others: references count by their ``_id``."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec

from mongospec_core.extension import DocumentBase
from mongospec_refs.unresolved import may_be_one, same_id


def equal(one: Any, other: Any) -> bool:
    """Return whether two documents of one class have equal fields; references are not compared."""
    return all(_alike(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__)


def _alike(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, DocumentBase):
        if not isinstance(other, DocumentBase) or not may_be_one(one, other):
            return False
        return same_id(one, other)
    if type(one) is not type(other):
        return bool(one == other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, msgspec.Struct) and type(one).__eq__ is msgspec.Struct.__eq__:
        return one.__struct_config__.eq and equal(one, other)
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        names = [each.name for each in dataclasses.fields(one) if each.compare]
        return all(_alike(getattr(one, name), getattr(other, name)) for name in names)
    return bool(one == other)

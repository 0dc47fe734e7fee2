"""Documents as builtins, for JSON and similar formats."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# JSON and its schemas are of any type; this module tells the types apart.

import dataclasses
from collections.abc import Mapping
from copy import copy
from typing import Any, Literal

import msgspec
from msgspec.structs import force_setattr

from mongospec_core import OptionError, enc_hook
from mongospec_core.extension import DocumentBase, shown
from mongospec_refs.graph import references_in
from mongospec_refs.unresolved import is_resolved, placeholder


def to_builtins(document: DocumentBase, *, refs: Literal["embed", "id"] = "embed") -> Any:
    """Return a document as plain dicts, lists, strings and numbers, as its JSON would be.

    An unresolved or missing reference is ``{"_id": ...}``.

    :param document: the document.
    :param refs: ``"embed"`` writes referenced documents in full; ``"id"`` writes their ids, which is
        safe on documents that refer to each other.
    :raises ValueError: the references form a cycle, and *refs* is ``"embed"``.

    .. code-block:: python

        to_builtins(post, refs="id")  # {"_id": "65f0…", "title": "Hello", "author": "65f1…"}
    """
    if refs not in ("embed", "id"):
        raise OptionError(f'to_builtins(refs={shown(refs)}): use "embed" or "id"')
    if refs == "id" and is_resolved(document):
        document = _without_references(document)
    try:
        return msgspec.to_builtins(document, enc_hook=enc_hook)
    except RecursionError as error:
        raise ValueError(
            f"to_builtins({type(document).__name__} of _id={shown(document._id)}): its references lead "
            f'back to it; use refs="id"'
        ) from error


def _without_references(document: Any) -> Any:
    """Return a copy with ids in place of references, for encoders only."""
    twin = placeholder(type(document), document._id)
    for name in document.__struct_fields__:
        force_setattr(twin, name, _collapsed(getattr(document, name)))
    return twin


def _collapsed(value: Any) -> Any:
    if isinstance(value, DocumentBase):
        return value._id
    if isinstance(value, Mapping):
        return {key: _collapsed(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_collapsed(each) for each in value]
    if isinstance(value, msgspec.Struct) and references_in(value):
        twin = copy(value)
        for name in value.__struct_fields__:
            force_setattr(twin, name, _collapsed(getattr(value, name)))
        return twin
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and references_in(value):
        return {
            each.name: _collapsed(getattr(value, each.name)) for each in dataclasses.fields(value)
        }
    return value

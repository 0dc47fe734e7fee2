"""Indexes: what was declared, what is there, and the one command for what is missing."""

from collections.abc import Mapping, Sequence
from typing import Any

from mongospec_core.errors import DefinitionError, OperationError
from mongospec_core.server.door import Call

_NO_COLLECTION = 26
_UNSAID = frozenset({"key", "v", "background", "ns"})
"""What says nothing of what an index does."""


def declared_indexes(cls: type) -> list[dict[str, Any]]:
    """The index documents that a class and its bases declare, as ``createIndexes`` takes them.

    A declaration is mongojet's or pymongo's ``IndexModel`` (its options as keywords or as
    ``options={...}``) or a plain dict with ``"key"`` (or ``"keys"``).

    :raises DefinitionError: it is something else.
    """
    found: dict[str, dict[str, Any]] = {}
    for base in reversed(cls.__mro__):
        for declaration in base.__dict__.get("__indexes__", ()):
            index = _index_document(cls, declaration)
            found[index["name"]] = index  # a class's own word replaces its base's
    return list(found.values())


def _index_document(cls: type, declaration: Any) -> dict[str, Any]:
    document = getattr(declaration, "document", declaration)
    if not isinstance(document, Mapping):
        raise DefinitionError(
            f"{cls.__name__}.__indexes__: {declaration!r} is no index; write "
            f'IndexModel("email", unique=True) or {{"key": {{"email": 1}}, "unique": True}}'
        )
    index = {**document}
    options = index.pop("options", None)
    keys = index.pop("keys", None) or index.pop("key", None)
    if not keys:
        raise DefinitionError(f"{cls.__name__}.__indexes__: {declaration!r} has no keys")
    key = _key_document(keys)
    if options:
        index |= options  # mongojet's IndexModel(keys, options={...}) keeps them apart
    index = {name: value for name, value in index.items() if value is not None}
    name = index.pop("name", None) or "_".join(f"{field}_{way}" for field, way in key.items())
    return {"key": key, "name": name, **index}


def _key_document(keys: Any) -> dict[str, Any]:
    if isinstance(keys, str):
        return {keys: 1}
    if isinstance(keys, Mapping):
        return dict(keys)
    return dict((each, 1) if isinstance(each, str) else each for each in keys)


async def existing_indexes(call: Call) -> list[dict[str, Any]]:
    """What ``listIndexes`` says; nothing where the collection is not there yet."""
    try:
        reply = await call.command({"listIndexes": call.target.name, "cursor": {}})
    except OperationError as error:
        if error.code == _NO_COLLECTION:
            return []
        raise
    return list(reply["cursor"]["firstBatch"])


def missing(
    declared: Sequence[Mapping[str, Any]], existing: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The declared indexes that are not there."""
    there = [_comparable(each) for each in existing]
    return [each for each in declared if _comparable(each) not in there]


def _comparable(index: Mapping[str, Any]) -> tuple[Any, ...]:
    options = {
        name: value
        for name, value in index.items()
        if name not in _UNSAID and value is not False  # unique: False is the same as no word of it
    }
    return list(index["key"].items()), options


async def ensure_indexes(call: Call, declared: Sequence[Mapping[str, Any]]) -> None:
    """Create what is missing, by one command; nothing missing, no command that creates."""
    if not declared:
        return
    wanted = missing(declared, await existing_indexes(call))
    if wanted:
        await call.command({"createIndexes": call.target.name, "indexes": list(wanted)})

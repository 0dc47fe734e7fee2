"""Indexes: those that are declared, those that exist, and one command for the missing ones."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, cast

import msgspec

from mongospec_core.codec.codec_options import decode, encode
from mongospec_core.errors import (
    DefinitionError,
    EncodingError,
    IndexConflictError,
    OperationError,
    shown,
)
from mongospec_core.server.operation import Operation
from mongospec_core.server.reply import Listed, ListedIndex

type Mode = Literal["create", "check", "skip"]
type Conflicts = Literal["error", "warn"]

_NO_COLLECTION = 26
_MEANINGFUL = (
    "unique",
    "sparse",
    "hidden",
    "expireAfterSeconds",
    "partialFilterExpression",
    "collation",
    "wildcardProjection",
)
"""Options that change what an index does; the server lists others besides."""

_OPTIONS = (
    *_MEANINGFUL,
    *("background", "storageEngine", "weights", "default_language", "language_override"),
    *("textIndexVersion", "2dsphereIndexVersion", "bits", "min", "max", "bucketSize"),
    *("v", "clustered", "prepareUnique", "comment", "name"),
)


class Declared(msgspec.Struct, frozen=True):
    """One index as ``createIndexes`` expects it, and the class that declares it."""

    owner: str
    document: dict[str, Any]


def declared_indexes(cls: type) -> list[Declared]:
    """Return the indexes that a class and its bases declare.

    A declaration is mongojet's or pymongo's ``IndexModel`` (its options as keywords or as
    ``options={...}``) or a plain dict with ``"key"`` (or ``"keys"``). An index of a class
    replaces its base's index of the same name.

    :raises DefinitionError: it is something else.
    """
    found: dict[str, Declared] = {}
    for base in reversed(cls.__mro__):
        own: dict[str, Any] = {}
        for declaration in _declarations(base):
            index = _index_document(cls, declaration)
            if own.setdefault(index["name"], index) != index:
                raise DefinitionError(
                    f"{base.__name__}.__indexes__ declares the index {index['name']!r} twice, "
                    f"with differences; use another name for one of them"
                )
            found[index["name"]] = Declared(cls.__name__, index)
    return list(found.values())


def _declarations(cls: type) -> Sequence[Any]:
    declared: Any = cls.__dict__.get("__indexes__", ())
    if isinstance(declared, str) or not isinstance(declared, Sequence):
        raise DefinitionError(
            f"{cls.__name__}.__indexes__ is a list of indexes, not {shown(declared)}"
        )
    return list(declared)  # pyright: ignore[reportUnknownArgumentType]


def merged(declared: Iterable[Declared]) -> list[Declared]:
    """Merge the indexes of classes that share a collection, each once.

    :raises DefinitionError: two classes declare one name differently.
    """
    found: dict[str, Declared] = {}
    for each in declared:
        other = found.setdefault(each.document["name"], each)
        if other.document != each.document:
            raise DefinitionError(
                f"{other.owner} and {each.owner} share a collection and declare the index "
                f"{each.document['name']!r} differently: {other.document} and {each.document}; "
                f"use another name for one of them"
            )
    return list(found.values())


def _index_document(cls: type, declaration: Any) -> dict[str, Any]:
    document: Any = getattr(declaration, "document", declaration)
    if not isinstance(document, Mapping):
        raise DefinitionError(
            f"{cls.__name__}.__indexes__: {shown(declaration)} is not an index; write "
            f'IndexModel("email", unique=True) or {{"key": {{"email": 1}}, "unique": True}}'
        )
    index: dict[str, Any] = dict(cast("Mapping[str, Any]", document))
    # IndexModel(keys, options={...}) keeps them apart.
    options: dict[str, Any] = index.pop("options", None) or {}
    keys: Any = index.pop("keys", None) or index.pop("key", None)
    if not keys:
        raise DefinitionError(f"{cls.__name__}.__indexes__: {shown(declaration)} has no keys")
    try:
        key = key_document(keys)
    except (TypeError, ValueError) as error:
        raise DefinitionError(
            f"{cls.__name__}.__indexes__: {shown(declaration)}: write the keys as "
            f'"name", [("name", 1), ("age", -1)] or {{"name": 1}}'
        ) from error
    index = {name: value for name, value in (index | options).items() if value is not None}
    refuse_misspelt(f"{cls.__name__}.__indexes__: {shown(declaration)}", index, _OPTIONS)
    # As the server will return it: enums, dates and the like in a partialFilterExpression.
    index = as_sent(f"{cls.__name__}.__indexes__: {shown(declaration)}", {"key": key, **index})
    key = index.pop("key")
    name = index.pop("name", None) or "_".join(f"{field}_{way}" for field, way in key.items())
    return {"key": key, "name": name, **index}


def as_sent(where: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return declared options as the server will return them.

    :raises DefinitionError: BSON cannot hold one of them.
    """
    try:
        return decode(encode(options))
    except EncodingError as error:
        raise DefinitionError(f"{where}: {error}") from error


def refuse_misspelt(where: str, options: Iterable[Any], known: Sequence[str]) -> None:
    """Refuse an option that is like a known one; a server may have options of its own."""
    for option in set(options) - set(known):
        if not isinstance(option, str):
            raise DefinitionError(f"{where}: {shown(option)} is not the name of an option")
        if meant := get_close_matches(option, known, 1, 0.7):
            raise DefinitionError(
                f"{where} has the option {shown(option)}, which does not exist; "
                f"did you mean {meant[0]!r}?"
            )


def key_document(keys: Any) -> dict[str, Any]:
    """Convert any of pymongo's forms of an index's keys, or of a sort, to the server's.

    :returns: field to direction, in order.
    :raises TypeError, ValueError: it is not one of them.
    """
    if isinstance(keys, str):
        return {keys: 1}
    if isinstance(keys, Mapping):
        return dict(cast("Mapping[str, Any]", keys))
    pairs = [(each, 1) if isinstance(each, str) else each for each in keys]
    return {field: direction for field, direction in pairs}  # noqa: C416 - checks the pairs


async def ensure_indexes(
    call: Operation, declared: Sequence[Declared], mode: Mode, conflicts: Conflicts
) -> None:
    """Create or check the indexes of one collection.

    Sends ``listIndexes``, and with *mode* "create" one ``createIndexes`` if some are missing.
    "check" only reads them, "skip" sends nothing.

    :raises IndexConflictError: a declared index cannot be created; with *conflicts* "warn", it warns.
    """
    if mode == "skip" or not declared:
        return
    existing = await existing_indexes(call)
    wanted = [
        each for each in declared if not any(same_index(each.document, it) for it in existing)
    ]
    by_name = {each["name"]: each for each in existing}
    clashing = [each for each in wanted if each.document["name"] in by_name]
    problems = [
        f"{each.owner} declares the index {_described(each.document)}, but {call.target.name!r} has "
        f"{_described(by_name[each.document['name']])} under that name; {_drop(call, [each.document])}"
        for each in clashing
    ]
    missing = [each for each in wanted if each not in clashing]
    if mode == "check":
        problems += [
            f"{each.owner} declares the index {_described(each.document)}, which is missing"
            for each in missing
        ]
    report(problems, conflicts)
    if missing and mode == "create":
        await _create(call, missing, existing, conflicts)


async def existing_indexes(call: Operation) -> list[dict[str, Any]]:
    """Return the existing indexes; none if the collection does not exist yet."""
    try:
        reply = await call.command(
            {"listIndexes": call.target.name, "cursor": {}}, Listed[ListedIndex]
        )
    except OperationError as error:
        if error.code == _NO_COLLECTION:
            return []
        raise
    return list(reply["cursor"]["firstBatch"])


def same_index(declared: Mapping[str, Any], existing: Mapping[str, Any]) -> bool:
    """Return whether an existing index is equivalent to a declared one; names may differ."""
    if _keys(declared) != _keys(existing):
        return False
    for option in {*_MEANINGFUL, *declared} - {"key", "name", "background", "v"}:
        wanted, found = declared.get(option), existing.get(option)
        if option in ("collation", "weights") and wanted and found:
            found = {name: found.get(name) for name in wanted}  # the server lists defaults too
        if _unset(wanted) != _unset(found):
            return False
    return True


def _unset(option: Any) -> Any:
    """Treat an option that is switched off as missing, but not one of 0 seconds."""
    return None if option is False else option


def _keys(index: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the key in order; the server lists the fields of a text index as weights."""
    key: Mapping[str, Any] = index["key"]
    if "_fts" in key:
        texts = [(field, "text") for field in sorted(index.get("weights", {}))]
        return [each for each in key.items() if each[0] not in ("_fts", "_ftsx")] + texts
    texts = sorted(each for each in key.items() if each[1] == "text")
    return [each for each in key.items() if each[1] != "text"] + texts


async def _create(
    call: Operation,
    missing: Sequence[Declared],
    existing: Sequence[Mapping[str, Any]],
    conflicts: Conflicts,
) -> None:
    command = {
        "createIndexes": call.target.name,
        "indexes": [each.document for each in missing],
    }
    try:
        # On a large collection it may take hours; a build that is given up starts from scratch.
        await call.without_timeout().command(command)
    except OperationError as error:
        problem = _problem(call, error, missing, existing)
        if problem is None:
            raise
        if conflicts == "warn" and len(missing) > 1:  # the server has created none of them
            for each in missing:
                await _create(call, [each], existing, conflicts)
            return
        report([problem], conflicts, error)


def _problem(
    call: Operation,
    error: OperationError,
    missing: Sequence[Declared],
    existing: Sequence[Mapping[str, Any]],
) -> str | None:
    """Return why the server refused to create indexes, in the classes' terms; None: another error."""
    named = [each for each in missing if each.document["name"] in str(error)] or missing
    who = " and ".join(dict.fromkeys(each.owner for each in named))
    what = ", ".join(_described(each.document) for each in named)
    collection = repr(call.target.name)
    match error.code:
        case 85 | 86:
            keys = [_keys(each.document) for each in named]
            like = [each for each in existing if _keys(each) in keys]
            there = ", ".join(_described(each) for each in like) or "another like it"
            way_out = f"; {_drop(call, like)}" if like else ""
            return f"{who} declares {what}, but {collection} has {there}{way_out}"
        case 11000:
            value = getattr(error, "key_value", None) or str(error)
            return f"{who} declares {what} unique, but {collection} has duplicates: {value}"
        case 13:
            return (
                f"this user may not create {what} of {who} on {collection}; create them by another "
                f'user, or call init with indexes="skip"'
            )
        case 67 | 197:
            return f"the server cannot create {what} of {who} on {collection}: {error}"
        case _:
            return None


def _drop(call: Operation, indexes: Sequence[Mapping[str, Any]]) -> str:
    commands = " and ".join(
        f"db.getCollection({call.target.name!r}).dropIndex({each['name']!r})" for each in indexes
    )
    return f"to create what is declared, drop what exists by {commands} in mongosh"


def _described(index: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in index.items() if name not in ("v", "name", "key")}
    return f"{index['name']!r} {dict(index['key'])}{' ' + str(shown) if shown else ''}"


def report(
    problems: Sequence[str],
    conflicts: Conflicts,
    error: OperationError | None = None,
    kind: type[OperationError] = IndexConflictError,
) -> None:
    """Raise one error of a kind for all problems, or warn of them."""
    if not problems:
        return
    text = "; ".join(problems)
    if conflicts == "warn":
        warnings.warn(text, UserWarning, stacklevel=2)
        return
    raise kind(
        text,
        outcome="not_applied",
        code=error.code if error else None,
        labels=error.labels if error else frozenset(),
        details=error.details if error else None,
    ) from error

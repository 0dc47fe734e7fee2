"""Collections: the options and the validator that classes declare, and those that exist."""

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any, cast

import msgspec

from mongospec_core.codec.annotations import resolve_names
from mongospec_core.codec.bson_schema import bson_schema
from mongospec_core.codec.codec_options import decode, encode
from mongospec_core.errors import CollectionConflictError, DefinitionError, OperationError, shown
from mongospec_core.model.family import is_member, members_of
from mongospec_core.server.indexes import Conflicts, Mode, as_sent, refuse_misspelt, report
from mongospec_core.server.operation import Operation
from mongospec_core.server.reply import Listed, ListedCollection

_MEANINGFUL = ("capped", "size", "max", "timeseries", "expireAfterSeconds", "collation")
"""Options that change what a collection does, so that one that is not declared is a difference, too."""
_OPTIONS = (
    *(*_MEANINGFUL, "clusteredIndex", "changeStreamPreAndPostImages", "validationLevel"),
    *("storageEngine", "indexOptionDefaults", "encryptedFields", "comment"),
)
_UNSEEN = ("comment",)
"""Options that ``listCollections`` does not return."""
_BY_KEYWORD = ("validator", "validationAction")
_IN_PLACE = {"expireAfterSeconds", "changeStreamPreAndPostImages", "validationLevel", *_BY_KEYWORD}
"""What ``collMod`` changes; of a capped or a time series collection a little more."""
_DEFAULTS = {"validationAction": "error", "validationLevel": "strict"}
"""What the server does if a validator comes without them."""
_CAPPED = {"size": "cappedSize", "max": "cappedMax"}
_GRANULARITY = {"granularity", "bucketMaxSpanSeconds", "bucketRoundingSeconds"}
_NAMESPACE_EXISTS = 48
_REFUSED = (2, 9, 14, 20, 72, 115, 197, 40415)
"""Codes of the server for options that it does not take."""


_report = partial(report, kind=CollectionConflictError)


class DeclaredCollection(msgspec.Struct, frozen=True):
    """A collection as the classes in it declare it: the fields of a ``create`` command.

    :param owner: the classes that declare something, by their names.
    :param options: of ``__collection_options__``.
    :param validator: the validator of ``validator=``; empty without.
    """

    owner: str
    options: dict[str, Any]
    validator: dict[str, Any]


def declared_collection(classes: Collection[Any]) -> DeclaredCollection | None:
    """Return what the classes in one collection declare of it; None if nothing.

    :raises DefinitionError: they cannot be declared, or differ.
    """
    options = {cls: found for cls in classes if (found := _options_of(cls))}
    actions = {cls: cls.__validator__ for cls in classes if cls.__validator__}
    if not options and not actions:
        return None
    _refuse_different("__collection_options__", options)
    _refuse_different("validator=", actions)
    said: dict[str, Any] = dict(next(iter(options.values()), {}))  # pyright: ignore[reportUnknownArgumentType]
    owner = ", ".join(dict.fromkeys(cls.__name__ for cls in (*options, *actions)))
    validator: dict[str, Any] = {}
    if actions:
        if "timeseries" in said:
            raise DefinitionError(
                f"{owner}: a time series collection cannot have a validator; leave validator= out"
            )
        action = next(iter(actions.values()))
        validator = {"validator": {"$jsonSchema": _schema(classes)}, "validationAction": action}
        if "validationLevel" in said:
            validator["validationLevel"] = said.pop("validationLevel")
    elif "validationLevel" in said:
        raise DefinitionError(
            f"{owner}.__collection_options__ has a validationLevel, but the class has no validator; "
            f'write validator="error" in the class line'
        )
    return DeclaredCollection(owner, said, validator)


def _schema(classes: Iterable[type]) -> dict[str, Any]:
    """Return the schema of all that a collection may hold: of whole families, bound or not."""
    found: dict[type, None] = {}
    for cls in classes:
        root = next((base for base in reversed(cls.__mro__) if is_member(cls, base)), cls)
        found |= dict.fromkeys((cls, *members_of(root)))
    resolve_names(found)
    ordered = sorted(found, key=lambda cls: (cls.__name__, cls.__module__))
    return decode(encode(bson_schema(*ordered)))


def _refuse_different(what: str, said: Mapping[Any, Any]) -> None:
    items = list(said.items())
    for other, value in items[1:]:
        one, first = items[0]
        if value != first:
            raise DefinitionError(
                f"{one.__name__} and {other.__name__} share a collection and have different {what}: "
                f"{shown(first)} and {shown(value)}; declare it once"
            )


def _options_of(cls: Any) -> dict[str, Any]:
    where, declared = f"{cls.__name__}.__collection_options__", cls.__collection_options__
    if not isinstance(declared, Mapping):
        raise DefinitionError(f"{where} is a dict of options, not {shown(declared)}")
    said = cast("Mapping[str, Any]", declared)
    for name in _BY_KEYWORD:
        if name in said:
            raise DefinitionError(
                f'{where}: write validator="error" in the class line, not {name!r}'
            )
    refuse_misspelt(where, said, _OPTIONS)
    options = as_sent(where, {k: v for k, v in said.items() if v is not None and v is not False})
    if "size" not in options if "capped" in options else options.keys() & _CAPPED.keys():
        raise DefinitionError(f'{where}: a capped collection has "capped": True and "size": BYTES')
    series: Any = options.get("timeseries", {"timeField": "_id"})
    if not isinstance(series, Mapping) or "timeField" not in series:
        raise DefinitionError(
            f'{where}: a time series needs the field of its time: "timeseries": {{"timeField": "at"}}'
        )
    for key in ("timeField", "metaField"):
        field: Any = cast("Mapping[str, Any]", series).get(key, "_id")
        if field not in cls.__struct_encode_fields__:
            raise DefinitionError(
                f"{where}: {key} is {shown(field)}, but the class has no field that is stored as that"
            )
    if "expireAfterSeconds" in options and not options.keys() & {"timeseries", "clusteredIndex"}:
        raise DefinitionError(
            f"{where}: only a time series or a clustered collection has expireAfterSeconds; for "
            f"others declare an index with it"
        )
    return options


# -- the existing collection


async def existing_options(call: Operation) -> dict[str, Any] | None:
    """Return the options of the existing collection; None if it does not exist."""
    command = {"listCollections": 1, "filter": {"name": call.target.name}}
    found = (await call.command(command, Listed[ListedCollection]))["cursor"]["firstBatch"]
    return found[0].get("options", {}) if found else None


def changed_options(
    declared: Mapping[str, Any], existing: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options that differ, with the declared values: those that ``collMod`` changes, and the rest.

    :param declared: options and validator; without options, those that exist do not matter.
    """
    names = dict.fromkeys(each for each in declared if each not in _UNSEEN)
    if "validator" in declared:
        names |= dict.fromkeys(_DEFAULTS)
    if declared.keys() - {"validator", *_DEFAULTS}:
        names |= dict.fromkeys((*_MEANINGFUL, "clusteredIndex"))
    changes: dict[str, Any] = {}
    fixed: dict[str, Any] = {}
    for name in names:
        default = _DEFAULTS.get(name)
        said, there = declared.get(name, default), existing.get(name, default)
        if name == "size" and said and there:
            said, there = _rounded(said), _rounded(there)
        if not _same(said, there):
            in_place = name in _IN_PLACE or _grows(name, said, there)
            (changes if in_place else fixed)[name] = declared.get(name, default)
    return changes, fixed


def _grows(name: str, said: Any, there: Any) -> bool:
    if name == "timeseries" and said and there:
        return {key for key in said if said[key] != there.get(key)} <= _GRANULARITY
    return name in _CAPPED and said is not None and there is not None


def _same(said: Any, there: Any) -> bool:
    """Return whether an option is as declared; the server lists defaults and versions besides."""
    if isinstance(said, Mapping) and "$jsonSchema" not in said:
        found: Any = there or {}
        mapping = cast("Mapping[str, Any]", said)
        return all(_same(value, found.get(key)) for key, value in mapping.items())
    return (None if said is False else said) == (None if there is False else there)


def _rounded(size: int) -> int:
    """Return a capped collection's size as MongoDB rounds it."""
    return max(4096, -(-int(size) // 256) * 256)


def coll_mod(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the command that makes the changes of :func:`changed_options` in place."""
    command: dict[str, Any] = {"collMod": name}
    for option, value in changes.items():
        if option == "timeseries":
            value = {key: value[key] for key in value if key in _GRANULARITY}  # noqa: PLW2901
        if option == "expireAfterSeconds" and value is None:
            value = "off"  # noqa: PLW2901
        command[_CAPPED.get(option, option)] = value
    return command


def unchangeable(
    declared: DeclaredCollection, name: str, fixed: Mapping[str, Any], there: Any
) -> str:
    """Return what differs and cannot be changed, and the way out."""
    said = ", ".join(
        f"{option}={shown(value)}, but {name!r} has {shown(there.get(option))}"
        for option, value in fixed.items()
    )
    return (
        f"{declared.owner} declares {said}; MongoDB cannot change that: copy the documents into a new "
        f"collection with these options, and rename it"
    )


async def ensure_collection(
    call: Operation,
    declared: DeclaredCollection,
    options: Mode,
    validators: Mode,
    conflicts: Conflicts,
) -> None:
    """Create a collection, and create, change or check its validator.

    Sends ``listCollections``, and ``create`` or ``collMod`` if something is missing. Options of a collection
    that exists are not changed.

    :raises CollectionConflictError: it is not as declared; with *conflicts* "warn", it warns.
    """
    said = declared.options if options != "skip" else {}
    validator = declared.validator if validators != "skip" else {}
    if not said and not validator:
        return
    existing = await existing_options(call)
    may = validator and validators == "create" and not (said and options == "check")
    if existing is None and (may or (said and options == "create")):
        wanted = declared.options | (validator if validators == "create" else {})
        existing = await _created(call, declared, wanted, conflicts)
    if existing is None and said and options == "check":
        text = f"{declared.owner} declares __collection_options__, but {call.target.name!r} does not exist"
        _report([f"{text}; create it with `mongospec apply`"], conflicts)
        return
    changes, fixed = changed_options(said, existing or {}) if said else ({}, {})
    problems = [unchangeable(declared, call.target.name, fixed, existing)] if fixed else []
    if changes:
        problems.append(
            f"{declared.owner} declares {', '.join(f'{k}={shown(v)}' for k, v in changes.items())}, "
            f"which {call.target.name!r} does not have; change it with `mongospec apply`"
        )
    wanted, _ = changed_options(validator, existing or {})
    if wanted and validators == "check":
        problems.append(
            f"{declared.owner} declares a validator, but {call.target.name!r} has "
            f"{'another one' if (existing or {}).get('validator') else 'none'}; run `mongospec apply`"
        )
    _report(problems, conflicts)
    if wanted and validators == "create":
        await _sent(call, declared, coll_mod(call.target.name, wanted), conflicts)


async def _created(
    call: Operation, declared: DeclaredCollection, options: dict[str, Any], conflicts: Conflicts
) -> dict[str, Any]:
    """Create the collection, and return its options."""
    try:
        await _sent(call, declared, {"create": call.target.name, **options}, conflicts)
    except OperationError as error:
        if error.code != _NAMESPACE_EXISTS:
            raise
        return await existing_options(call) or {}  # another process created it meanwhile
    return options


async def _sent(
    call: Operation, declared: DeclaredCollection, command: dict[str, Any], conflicts: Conflicts
) -> None:
    try:
        await call.command(command)
    except OperationError as error:
        verb = next(iter(command))
        what = f"{verb} {call.target.name!r}, as {declared.owner} declares it"
        if error.code == 13:  # Unauthorized
            text = (
                f"this user may not {what}; run `mongospec apply` as another user, or "
                f'call init with indexes="skip", validators="skip"'
            )
        elif error.code in _REFUSED:
            text = f"the server cannot {what}: {error}"
        else:
            raise
        _report([text], conflicts, error)

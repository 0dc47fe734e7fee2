"""Entries in the database: documents of the store's class with a key and a value."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

import msgspec
from bson import Code, ObjectId
from msgspec.structs import force_setattr

from mongospec_core import (
    DefinitionError,
    DocumentValidationError,
    EncodingError,
    InvalidDocument,
    MongoDocument,
    OptionError,
)
from mongospec_core.extension import (
    BatchReader,
    Binding,
    Plan,
    binding_of,
    class_cache,
    encode,
    encode_document,
    run_dict_hook,
    shown,
    to_raw_documents,
)
from mongospec_kv.errors import StoredValueError

VALUE_ONLY = {"_id": 0, "key": 1, "value": 1}
"""The projection of a read, without the fields that the base adds."""
_KEYS_BYTES = 8 * 1024 * 1024  # of a command's 16 MB, for the keys in one $in


def entry_reader(
    store: type[MongoDocument], binding: Binding, value_type: Any = None
) -> BatchReader[Any]:
    """Return the reader of keys and values, which raises :class:`StoredValueError` if a value does not fit.

    :param value_type: the type of the values; default: the store's own annotation.
    """

    def refuse(failure: InvalidDocument, raw: Mapping[str, Any]) -> NoReturn:
        path = failure.path.removeprefix("value").removeprefix(".")
        raise StoredValueError(store, raw.get("key"), path, failure.reason)

    if value_type is None:
        value_type = next(each.type for each in binding.plan.fields if each.name == "value")
    return store.__read__(entry_type(store, value_type), refuse).reader(binding)


@class_cache
def entry_type(store: type[MongoDocument], value_type: Any) -> type[msgspec.Struct]:
    """Return the store's class without what its base adds: a key and a value."""
    dec_hook = getattr(store, "dec_hook", None)
    return msgspec.defstruct(
        store.__name__,
        [("key", str), ("value", value_type, None)],
        namespace={"dec_hook": dec_hook} if dec_hook else None,
    )


def key_filter(store: type[MongoDocument], key: Any) -> bytes:
    """Return the filter that finds the entry of *key*, as BSON: a key is a value, never an operator.

    :raises OptionError: it is not a str.
    """
    check_key(store, key)
    return encode(binding_of(store).scoped({"key": key}))


def check_key(store: type[MongoDocument], key: Any) -> None:
    """Refuse a key that is not a str, for example from the body of a request.

    :raises OptionError: it is not a str.
    """
    if not isinstance(key, str) or isinstance(key, Code):
        given = type(key).__name__
        raise OptionError(f"{store.__name__}: a key is a str, not {shown(key)} of type {given}")


def raw_entries(binding: Binding, items: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return new entries as raw documents, with ``_id`` and the defaults of the class's fields.

    :raises OptionError: *items* is not a dict, or one of its keys is not a str.
    :raises DocumentValidationError: a value does not fit the class.
    :raises EncodingError: BSON cannot hold a value.
    """
    cls = binding.plan.cls
    given: Any = items  # without a type checker it may be anything
    if not isinstance(given, Mapping):
        raise OptionError(f"{cls.__name__}: items is a dict of values, not {shown(given)}")
    for key in items:
        check_key(cls, key)
    entries = [cls(key=key, value=value) for key, value in items.items()]
    for entry in entries:
        if entry._id is None:
            force_setattr(entry, "_id", ObjectId())
    try:
        raws = to_raw_documents(binding.plan, entries, validate=None)
    except DocumentValidationError as error:
        keys = {repr(entry._id): key for entry, key in zip(entries, items, strict=True)}
        failures = [
            InvalidDocument(
                each.id, each.path, f"{each.reason}, for the key {shown(keys[repr(each.id)])}"
            )
            for each in error.failures
        ]
        raise DocumentValidationError(cls, failures, error.advice) from error
    except EncodingError:
        for key, entry in zip(items, entries, strict=True):
            try:
                to_raw_documents(binding.plan, [entry], validate=False)
            except EncodingError as error:
                raise EncodingError(f"{error}, for the key {shown(key)}") from error
        raise
    for key, raw in zip(items, raws, strict=True):
        try:
            encode_document(binding.plan, raw)
        except EncodingError as error:
            raise EncodingError(f"{error}, for the key {shown(key)}") from error
    return raws


def refuse_unfit(plan: Plan[Any]) -> None:
    """Refuse a class whose entries need more than a key and a value, or other names for them.

    :raises DefinitionError: the class is such a class.
    """
    name = plan.cls.__name__
    if plan.version is not None:
        raise DefinitionError(
            f"{name}: a key's value is set whether it was read or not, so the entries of a key-value "
            f"store have no versions; leave version_field= out"
        )
    for field in plan.fields:
        if field.name in ("key", "value"):
            if field.encode_name != field.name:
                raise DefinitionError(
                    f"{name}.{field.name} would be stored as {field.encode_name!r}; a key-value "
                    f"store needs its own name: {field.name}: ... = msgspec.field(name={field.name!r})"
                )
        elif field.required:
            raise DefinitionError(
                f"{name}.{field.name} has no default, but the entries of a key-value store are "
                f"made of a key and a value; add a default to the field"
            )


async def final_change(binding: Binding, change: Mapping[str, Any]) -> dict[str, Any]:
    """Return an update of entries after the class's ``__pre_update__``."""
    if "__pre_update__" in binding.hooks:
        return await run_dict_hook(binding.plan.cls, "__pre_update__", {**change})
    return {**change}


def upsert(change: dict[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return *change* with ``$setOnInsert`` for the rest of *raw*: two operators on a path conflict."""
    touched = {path.partition(".")[0] for fields in change.values() for path in fields}
    touched |= {path.partition(".")[0] for path in change.get("$rename", {}).values()}
    defaults = {name: value for name, value in raw.items() if name != "key" and name not in touched}
    if defaults:
        change["$setOnInsert"] = defaults | change.get("$setOnInsert", {})
    return change


def key_list(store: type[MongoDocument], keys: Any) -> list[str]:
    """Return *keys* in their order, each once.

    :raises OptionError: *keys* is a str, so its letters would be keys; it cannot be iterated; or one
        of them is not a str.
    """
    if isinstance(keys, str):
        raise OptionError(
            f"{store.__name__}: keys={shown(keys)} is one key; several are expected: [key]"
        )
    if not isinstance(keys, Iterable):
        raise OptionError(f"{store.__name__}: keys are a list of str, not {shown(keys)}")
    given: list[Any] = list(keys)  # pyright: ignore[reportUnknownArgumentType]
    for key in given:
        check_key(store, key)
    return list(dict.fromkeys(given))


def key_filters(keys: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Return filters for the entries of *keys*, each within the size of one command."""
    part: list[str] = []
    size = 0
    for key in keys:
        length = len(encode({"": key}))
        if part and size + length > _KEYS_BYTES:
            yield {"key": {"$in": part}}
            part, size = [], 0
        part.append(key)
        size += length
    if part:
        yield {"key": {"$in": part}}

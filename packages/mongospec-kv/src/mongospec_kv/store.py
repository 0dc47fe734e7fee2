"""The key-value store: entries of one collection, found by their key."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Unpack, overload, override

import msgspec
from bson import Decimal128

from mongospec_core import MongoDocument, OperationError, OptionError
from mongospec_core.extension import (
    BulkState,
    Options,
    Statement,
    begin,
    binding_of,
    encode,
    encode_update,
    plan_of,
    raise_for,
    shown,
    split_documents,
)
from mongospec_kv.access import MISSING, entries_of, find_and_upsert, repeated, tries, value_of
from mongospec_kv.entries import (
    check_key,
    entry_reader,
    final_change,
    key_filter,
    key_filters,
    key_list,
    raw_entries,
    refuse_unfit,
    upsert,
)
from mongospec_kv.errors import KeyNotFoundError, StoredValueError

_TYPE_MISMATCH = 14
_NUMBERS = (int, float, Decimal, Decimal128)
_REPEATABLE = {"$set", "$unset", "$setOnInsert"}


class KVStore(MongoDocument, mixin=True):
    """Values by their keys, in a collection: a field mixin for your document classes.

    Entries are documents with a ``key``, unique by an index, and a ``value`` of any type that
    documents may hold; annotate ``value`` again to allow only one type. They also have the fields of
    the other bases, which need defaults. Methods that change an entry run its ``__pre_update__``;
    ``__pre_save__`` and ``__pre_find__`` do not run.

    A key is a str; anything else is refused with an ``OptionError``, and nothing is sent.

    Every method takes ``session=``, ``timeout=`` and ``comment=``.

    .. code-block:: python

        class AppStorage(KVStore, Document):
            __collection_name__ = "app_storage"


        await AppStorage.set("theme", "dark")
        await AppStorage.get("theme")  # "dark"
    """

    __indexes__: ClassVar[Sequence[Any]] = ({"key": {"key": 1}, "unique": True},)

    # Named here, so that a subclass's rename= does not rename the fields of the index.
    key: str = msgspec.field(name="key")
    value: Any = msgspec.field(name="value")

    @override
    @classmethod
    def _before_bind(cls, bound: Collection[type]) -> None:
        super()._before_bind(bound)
        refuse_unfit(plan_of(cls))

    # -- one key

    @classmethod
    async def set(cls, key: str, value: Any, **options: Unpack[Options]) -> None:
        """Store a value by its key, replacing an existing one. Sends one ``update``, an upsert.

        :raises DocumentValidationError: the class does not allow the value; nothing was sent.
        :raises EncodingError: BSON cannot hold the value; nothing was sent.
        :raises DefinitionError: a field of the class has no default.

        .. code-block:: python

            await AppStorage.set("theme", "dark")
        """
        check_key(cls, key)
        binding, call = begin(cls, "set", "update_one", options, "write", upsert=True)
        (raw,) = raw_entries(binding, {key: value})
        change = await final_change(binding, {"$set": {"value": raw.get("value")}})
        update = await encode_update(binding.unchecked(), upsert(change, raw), {}, skip_hooks=True)
        query = key_filter(cls, key)
        await repeated(call, lambda: call.send("update_one", query, update))

    @classmethod
    async def get(cls, key: str, **options: Unpack[Options]) -> Any:
        """Return the value of a key. Sends one ``find``.

        :raises KeyNotFoundError: the store does not have the key (it is a ``KeyError``).
        :raises StoredValueError: the class annotates ``value``, and the stored one does not fit.

        .. code-block:: python

            theme = await AppStorage.get("theme")
        """
        value = await value_of(cls, "get", key, options)
        if value is MISSING:
            raise KeyNotFoundError(cls, key)
        return value

    @classmethod
    async def get_or_default(cls, key: str, default: Any, **options: Unpack[Options]) -> Any:
        """Return the value of a key, or *default* if the store does not have it. Sends one ``find``.

        .. code-block:: python

            theme = await AppStorage.get_or_default("theme", "light")
        """
        value = await value_of(cls, "get_or_default", key, options)
        return default if value is MISSING else value

    @classmethod
    async def set_default(cls, key: str, value: Any, **options: Unpack[Options]) -> Any:
        """Store a value unless the key exists, and return the stored one.

        Atomic: one of many callers stores its value, and all get that value. Sends one
        ``findAndModify``; an existing entry is not changed, and no hook runs.

        :raises DocumentValidationError: the class does not allow the value; nothing was sent.

        .. code-block:: python

            theme = await AppStorage.set_default("theme", "light")
        """
        check_key(cls, key)
        binding = binding_of(cls)
        (raw,) = raw_entries(binding, {key: value})
        return await find_and_upsert(cls, "set_default", key, upsert({}, raw), options)

    @overload
    @classmethod
    async def increment(cls, key: str, by: int = 1, **options: Unpack[Options]) -> int: ...
    @overload
    @classmethod
    async def increment(cls, key: str, by: float, **options: Unpack[Options]) -> float: ...
    @overload
    @classmethod
    async def increment(cls, key: str, by: Decimal, **options: Unpack[Options]) -> Decimal: ...
    @classmethod
    async def increment(cls, key: str, by: Any = 1, **options: Unpack[Options]) -> Any:
        """Add to the number of a key, and return the sum. Sends one ``findAndModify``, an upsert.

        Atomic. A missing key starts at zero. Use one type of number per key: the sum of different
        types is a float or a ``Decimal``, as in MongoDB.

        :param by: the number to add; negative to subtract.
        :raises StoredValueError: the stored value is not a number; it is not changed.
        :raises OptionError: *by* is not a number; nothing was sent.

        .. code-block:: python

            visits = await AppStorage.increment("visits")
        """
        binding = binding_of(cls)
        check_key(cls, key)
        (raw,) = raw_entries(binding, {key: by})
        if isinstance(raw["value"], bool) or not isinstance(raw["value"], _NUMBERS):
            raise OptionError(f"{cls.__name__}.increment: by is a number, not {shown(by)}")
        change = await final_change(binding, {"$inc": {"value": raw.get("value")}})
        try:
            return await find_and_upsert(cls, "increment", key, upsert(change, raw), options)
        except OperationError as error:
            if error.code == _TYPE_MISMATCH:
                raise StoredValueError(
                    cls, key, "", "not a number, so nothing was added"
                ) from error
            raise

    @classmethod
    async def has(cls, key: str, **options: Unpack[Options]) -> bool:
        """Return whether the store has a key. Sends one ``find`` that reads one ``_id``.

        .. code-block:: python

            await AppStorage.has("theme")
        """
        _, call = begin(cls, "has", "find_one", options, "read", projection={"_id": 1})
        return await call.send("find_one", key_filter(cls, key)) is not None

    @classmethod
    async def delete_key(cls, key: str, **options: Unpack[Options]) -> bool:
        """Delete a key. Sends one ``delete``.

        :returns: whether it existed.

        .. code-block:: python

            await AppStorage.delete_key("theme")
        """
        _, call = begin(cls, "delete_key", "delete_one", options, "write")
        reply = await call.send("delete_one", key_filter(cls, key))
        return bool(reply["deleted_count"])

    # -- many keys

    @classmethod
    async def get_all(cls, **options: Unpack[Options]) -> dict[str, Any]:
        """Return all values by their keys, in the order of their ``_id`` (insertion). Sends one
        ``find``.

        :raises StoredValueError: the class annotates ``value``, and a stored one does not fit.

        .. code-block:: python

            settings = await AppStorage.get_all()
        """
        entries = await entries_of(cls, "get_all", {}, {**options, "sort": "_id"})
        return {str(entry.key): entry.value for entry in entries}  # Code is a str without a hash

    @classmethod
    async def get_many(cls, keys: Iterable[str], **options: Unpack[Options]) -> dict[str, Any]:
        """Return the values of *keys* that the store has, in that order. Sends one ``find`` (for each
        8 MB of keys).

        :raises StoredValueError: the class annotates ``value``, and a stored one does not fit.

        .. code-block:: python

            found = await AppStorage.get_many(["theme", "language"])
        """
        found: dict[str, Any] = {}
        asked = key_list(cls, keys)
        for query in key_filters(asked):
            entries = await entries_of(cls, "get_many", query, options)
            found.update((str(entry.key), entry.value) for entry in entries)
        return {key: found[key] for key in asked if key in found}

    @classmethod
    async def keys(cls, **options: Unpack[Options]) -> list[str]:
        """Return all keys, in the order of their ``_id`` (insertion). Sends one ``find`` that reads
        no values.

        .. code-block:: python

            names = await AppStorage.keys()
        """
        sorted_options = {**options, "sort": "_id"}
        only_keys = {"_id": 0, "key": 1}
        binding, call = begin(
            cls, "keys", "find_many", sorted_options, "read", projection=only_keys
        )
        batch = await call.send("find_many", encode(binding.scoped({})))
        entries = await entry_reader(cls, binding, Any).load(split_documents(batch), call)
        return [entry.key for entry in entries]

    @classmethod
    async def set_many(cls, items: Mapping[str, Any], **options: Unpack[Options]) -> None:
        """Store many values by their keys. Sends one unordered ``update`` (for each 100,000 keys or
        16 MB).

        All values are checked before the first is sent. Not atomic: if one fails, the others
        are stored; ``transaction()`` makes it all or nothing.

        :raises DocumentValidationError: the class does not allow a value; nothing was sent.
        :raises EncodingError: BSON cannot hold a value; nothing was sent.
        :raises BulkWriteError: some were not stored: ``failures`` has them, each with its key as
            ``document``; ``unknown`` has the keys whose outcome is unknown.

        .. code-block:: python

            await AppStorage.set_many({"theme": "dark", "language": "en"})
        """
        binding, call = begin(cls, "set_many", "bulk", options, "write")
        statements: list[Statement] = []
        repeatable = True
        raws = raw_entries(binding, items)
        for key, raw in zip(items, raws, strict=True):
            change = await final_change(binding, {"$set": {"value": raw.get("value")}})
            repeatable = repeatable and change.keys() <= _REPEATABLE
            statement = {
                "q": binding.scoped({"key": key}),
                "u": upsert(change, raw),
                "upsert": True,
            }
            statements.append(Statement("update", encode(statement), key))
        for left in reversed(range(tries(call))):
            sent = BulkState(statements)
            await sent.send(call, ordered=False, repeatable=repeatable)
            lost_race = [place for place, each in sent.failures.items() if each.code == 11000]
            if not left or not lost_race or len(lost_race) < len(sent.failures) or sent.unknown:
                return raise_for(call, sent)
            statements = [statements[place] for place in lost_race]
        return None

    @classmethod
    async def delete_keys(cls, keys: Iterable[str], **options: Unpack[Options]) -> int:
        """Delete keys. Sends one ``delete`` (for each 8 MB of keys).

        :returns: how many existed.

        .. code-block:: python

            gone = await AppStorage.delete_keys(["theme", "language"])
        """
        binding, call = begin(cls, "delete_keys", "delete_many", options, "write")
        gone = 0
        for query in key_filters(key_list(cls, keys)):
            gone += int(
                (await call.send("delete_many", encode(binding.scoped(query))))["deleted_count"]
            )
        return gone

    @classmethod
    async def clear(cls, **options: Unpack[Options]) -> int:
        """Delete all keys. Sends one ``delete``.

        :returns: how many existed.

        .. code-block:: python

            await AppStorage.clear()
        """
        binding, call = begin(cls, "clear", "delete_many", options, "write")
        return int((await call.send("delete_many", encode(binding.scoped({}))))["deleted_count"])

"""The commands behind the store's methods: reads of values, and upserts that win their races."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from mongospec_core import DuplicateKeyError, MongoDocument
from mongospec_core.extension import (
    Operation,
    begin,
    encode,
    encode_update,
    split_documents,
)
from mongospec_kv.entries import VALUE_ONLY, entry_reader, key_filter

MISSING: Final[Any] = object()
"""What stands for the value of a key that is not there."""
_TRIES = 3
"""Two upserts of a new key may both try to insert it. MongoDB repeats the one that the unique index
refuses, except in rare cases that it leaves to the client."""


async def value_of(
    cls: type[MongoDocument], operation: str, key: str, options: Mapping[str, Any]
) -> Any:
    """The value of a key; :data:`MISSING` if the store does not have it."""
    binding, call = begin(cls, operation, "find_one", options, "read", projection=VALUE_ONLY)
    found = await call.send("find_one", key_filter(cls, key))
    if found is None:
        return MISSING
    (entry,) = await entry_reader(cls, binding).load([found], call)
    return entry.value


async def entries_of(
    cls: type[MongoDocument], operation: str, query: Mapping[str, Any], options: Mapping[str, Any]
) -> list[Any]:
    """The entries that a query finds, each with its key and its value."""
    binding, call = begin(cls, operation, "find_many", options, "read", projection=VALUE_ONLY)
    batch = await call.send("find_many", encode(binding.scoped(query)))
    return await entry_reader(cls, binding).load(split_documents(batch), call)


async def find_and_upsert(
    cls: type[MongoDocument], operation: str, key: str, change: Any, options: Mapping[str, Any]
) -> Any:
    """Carry out an upsert and return the value that is there then."""
    binding, call = begin(
        cls,
        operation,
        "find_one_and_update",
        options,
        "write",
        upsert=True,
        return_document="after",
        projection=VALUE_ONLY,
    )
    query = key_filter(cls, key)
    update = await encode_update(binding, change, skip_hooks=True)
    found = await repeated(call, lambda: call.send("find_one_and_update", query, update))
    if found is None:
        # The embedded server's answer to the loser of a race for a new key, which it did carry out.
        return await value_of(cls, operation, key, options)
    (entry,) = await entry_reader(cls, binding).load([found], call)
    return entry.value


async def repeated[T](call: Operation, attempt: Callable[[], Awaitable[T]]) -> T:
    """Repeat an upsert that lost the race for a new key: the key is there now."""
    for _ in range(tries(call) - 1):
        try:
            return await attempt()
        except DuplicateKeyError:
            continue
    return await attempt()


def tries(call: Operation) -> int:
    """An error ends a transaction: nothing can be repeated in it."""
    return _TRIES if call.transaction is None and call.session is None else 1

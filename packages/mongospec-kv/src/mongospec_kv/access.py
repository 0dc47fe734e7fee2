"""The commands behind the store's methods: reads of values, and upserts that are retried."""

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
"""The value of a key that does not exist."""
_TRIES = 3
"""Two upserts of a new key may both try to insert it. MongoDB retries the one that the unique index
refuses, except in rare cases that the client must retry."""


async def value_of(
    cls: type[MongoDocument], operation: str, key: str, options: Mapping[str, Any]
) -> Any:
    """Return the value of a key; :data:`MISSING` if the store does not have it."""
    binding, call = begin(cls, operation, "find_one", options, "read", projection=VALUE_ONLY)
    found = await call.send("find_one", key_filter(cls, key))
    if found is None:
        return MISSING
    (entry,) = await entry_reader(cls, binding).load([found], call)
    return entry.value


async def entries_of(
    cls: type[MongoDocument], operation: str, query: Mapping[str, Any], options: Mapping[str, Any]
) -> list[Any]:
    """Return the entries that a query finds, each with its key and its value."""
    binding, call = begin(cls, operation, "find_many", options, "read", projection=VALUE_ONLY)
    batch = await call.send("find_many", encode(binding.scoped(query)))
    return await entry_reader(cls, binding).load(split_documents(batch), call)


async def find_and_upsert(
    cls: type[MongoDocument], operation: str, key: str, change: Any, options: Mapping[str, Any]
) -> Any:
    """Run an upsert and return the value after it."""
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
    update = await encode_update(binding.unchecked(), change, {}, skip_hooks=True)
    found = await repeated(call, lambda: call.send("find_one_and_update", query, update))
    if found is None:
        # The embedded server's reply to the second of two concurrent upserts, which it did apply.
        return await value_of(cls, operation, key, options)
    (entry,) = await entry_reader(cls, binding).load([found], call)
    return entry.value


async def repeated[T](call: Operation, attempt: Callable[[], Awaitable[T]]) -> T:
    """Retry an upsert after another one inserted the same new key."""
    for _ in range(tries(call) - 1):
        try:
            return await attempt()
        except DuplicateKeyError:
            continue
    return await attempt()


def tries(call: Operation) -> int:
    """Return how often to try: once in a transaction, which an error ends."""
    return _TRIES if call.is_alone else 1

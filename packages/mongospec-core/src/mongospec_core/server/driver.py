"""mongojet's internal API: the only module that uses its private names.

mongojet's public methods encode and decode with one codec and discard the bytes. We need the bytes:
documents are encoded and measured before the first is sent, and a batch that cannot be decoded is
split into documents. So the Rust objects are called, which take and return BSON. They silently
ignore unknown options; :data:`OPTIONS` lists those that they know.
"""

# pyright: reportPrivateUsage=false

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import mongojet
from mongojet import _types
from mongojet._session import ClientSession

from mongospec_core.codec.codec_options import decode
from mongospec_core.errors import OptionError

__all__ = (
    "OPTIONS",
    "WIRE_NAMES",
    "ClientSession",
    "client_of",
    "core_of",
    "method",
    "milliseconds",
    "release",
    "write_concern_of",
    "write_fields",
)

type Verb = Callable[..., Coroutine[Any, Any, Any]]


def _known(options: type) -> frozenset[str]:
    return frozenset(options.__annotations__)


OPTIONS: Mapping[str, frozenset[str]] = {
    "find": _known(_types.FindOptions),
    "find_many": _known(_types.FindOptions),
    "page": _known(_types.FindOptions)
    & frozenset(
        {
            *("allow_disk_use", "allow_partial_results", "collation", "comment", "hint", "let"),
            *("max_time_ms", "read_concern", "read_preference"),
        }
    ),
    "find_one": _known(_types.FindOneOptions),
    "find_one_and_update": _known(_types.FindOneAndUpdateOptions),
    "find_one_and_replace": _known(_types.FindOneAndReplaceOptions),
    "find_one_and_delete": _known(_types.FindOneAndDeleteOptions),
    "aggregate": _known(_types.AggregateOptions),
    "insert_one": _known(_types.InsertOneOptions),
    "insert_many": _known(_types.InsertManyOptions),
    "update_one": _known(_types.UpdateOptions),
    "update_many": _known(_types.UpdateOptions),
    "replace_one": _known(_types.ReplaceOptions),
    "delete_one": _known(_types.DeleteOptions),
    "delete_many": _known(_types.DeleteOptions),
    "count_documents": _known(_types.CountOptions),
    "estimated_document_count": _known(_types.EstimatedCountOptions),
    "distinct": _known(_types.DistinctOptions),
    "bulk": frozenset({"bypass_document_validation", "write_concern", "let", "comment"}),
}
"""The options that each of the driver's calls takes; "bulk": those of a write command;
"page": those of a ``find`` without the ones that a page sets itself."""


def client_of(database: mongojet.Database) -> mongojet.Client:
    """Return the client that a database belongs to."""
    return database.client


def core_of(of: mongojet.Collection | mongojet.Database) -> Any:
    """Return the Rust object behind a collection or a database."""
    return of._core_collection if isinstance(of, mongojet.Collection) else of._core_database


def method(core: Any, verb: str, session: ClientSession | None) -> Verb:
    """Return the method *verb* of a Rust object, bound to the session if there is one."""
    if session is None:
        return getattr(core, verb)  # type: ignore[no-any-return]
    with_session = getattr(core, f"{verb}_with_session")
    return lambda *arguments: with_session(session.core_session, *arguments)


def release(session: ClientSession) -> None:
    """Release a session to its client now; a running transaction of it is aborted.

    The driver releases it with the last reference, which the frames of a traceback may keep.
    """
    del session._core_session


def write_concern_of(collection: mongojet.Collection) -> dict[str, Any] | None:
    """Return the write concern that a collection inherits from its database, its client or the URI."""
    data = collection._core_collection.write_concern()
    return decode(data) if data else None


WIRE_NAMES = {
    "batch_size": "batchSize",
    "max_time_ms": "maxTimeMS",
    "allow_partial_results": "allowPartialResults",
    "allow_disk_use": "allowDiskUse",
    "no_cursor_timeout": "noCursorTimeout",
    "return_key": "returnKey",
    "show_record_id": "showRecordId",
    "read_concern": "readConcern",
    "write_concern": "writeConcern",
    "bypass_document_validation": "bypassDocumentValidation",
}
"""The driver's option names that commands spell differently."""

_OF_WRITES = ("write_concern", "bypass_document_validation", "let", "comment")


def write_fields(
    options: Mapping[str, Any], default: Mapping[str, Any] | None, operation: str
) -> dict[str, Any]:
    """Return the options of a whole write command, as its fields.

    :param default: the write concern if the options have none.
    :raises OptionError: the write concern is w=0, so the outcome would stay unknown.
    """
    fields: dict[str, Any] = {}
    if options:
        for name in _OF_WRITES:
            if options.get(name) is not None:
                fields[WIRE_NAMES.get(name, name)] = options[name]
    if default:
        fields.setdefault("writeConcern", default)
    if fields.get("writeConcern", {}).get("w") == 0:
        raise OptionError(
            f"{operation}: with the write concern w=0 the outcome would stay unknown; use w=1 "
            f"or more"
        )
    return fields


def milliseconds(seconds: float) -> int:
    """Return a time for ``maxTimeMS``: at least 1, because 0 means no limit."""
    return max(1, int(min(seconds * 1000, _MOST_MILLISECONDS)))


_MOST_MILLISECONDS = 2**31 - 1
"""The server refuses more, which is 24 days."""

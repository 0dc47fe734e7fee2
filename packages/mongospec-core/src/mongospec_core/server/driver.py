"""mongojet, called by its inner API: the only module that touches its private names.

mongojet's public methods encode and decode with one codec and throw the bytes away. Ours needs
them: documents are encoded and measured before the first is sent, and a batch that cannot be
decoded is taken apart document by document. So the calls go to the Rust objects, which take and
give BSON. An option that they do not know they drop in silence; :data:`OPTIONS` has what they know.
"""

# pyright: reportPrivateUsage=false

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import mongojet
from mongojet import _types
from mongojet._session import ClientSession

from mongospec_core.codec.codec_options import decode
from mongospec_core.errors import OptionError

__all__ = (
    "OPTIONS",
    "ClientSession",
    "appended",
    "client_of",
    "core_of",
    "method",
    "release",
    "write_concern_of",
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
"""The options that each of the driver's calls takes; "bulk": what a write command takes;
"page": what a ``find`` takes besides what a page is made of."""


def client_of(database: mongojet.Database) -> mongojet.Client:
    """The client that a database belongs to."""
    return database.client


def core_of(of: mongojet.Collection | mongojet.Database) -> Any:
    """The Rust object behind a collection or a database."""
    return of._core_collection if isinstance(of, mongojet.Collection) else of._core_database


def method(core: Any, verb: str, session: ClientSession | None) -> Verb:
    """The method *verb* of a Rust object; with a session it is bound to that session."""
    if session is None:
        return getattr(core, verb)  # type: ignore[no-any-return]
    with_session = getattr(core, f"{verb}_with_session")
    return lambda *arguments: with_session(session.core_session, *arguments)


def release(session: ClientSession) -> None:
    """Give a session back to its client now; what it is in the middle of is aborted.

    The driver does that when its last holder lets go, and the frames of a traceback hold on.
    """
    del session._core_session


def write_concern_of(collection: mongojet.Collection) -> dict[str, Any] | None:
    """The write concern that a collection has from its database, its client or the URI."""
    data = collection._core_collection.write_concern()
    return decode(data) if data else None


def appended(document: bytes, fields: bytes) -> bytes:
    """A BSON document with the *fields* of another after its own."""
    body = document[4:-1] + fields[4:]
    return (len(body) + 4).to_bytes(4, "little") + body


def write_command(head: bytes, field: str, statements: Sequence[bytes], tail: bytes) -> bytes:
    """A command with an array of statements, which are BSON as it is.

    :param head: the BSON of the fields that stand before the array.
    :param tail: the BSON of those behind it.
    """
    array = b"".join([b"\3%d\0%b" % each for each in enumerate(statements)])
    size = (len(array) + 5).to_bytes(4, "little")
    body = b"".join((head[4:-1], b"\4", field.encode(), b"\0", size, array, b"\0", tail[4:]))
    return (len(body) + 4).to_bytes(4, "little") + body


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
"""The driver's option names that commands spell otherwise."""

_OF_WRITES = ("write_concern", "bypass_document_validation", "let", "comment")


def write_fields(
    options: Mapping[str, Any], default: Mapping[str, Any] | None, operation: str
) -> dict[str, Any]:
    """The options that a write command takes as a whole, as its fields.

    :param default: the write concern where the options have none.
    :raises OptionError: nobody would know what was written.
    """
    fields = {WIRE_NAMES.get(name, name): options[name] for name in _OF_WRITES if name in options}
    if default:
        fields.setdefault("writeConcern", default)
    if fields.get("writeConcern", {}).get("w") == 0:
        raise OptionError(
            f"{operation}: with the write concern w=0 nobody would know what was written; use w=1 "
            f"or more"
        )
    return fields


def milliseconds(seconds: float) -> int:
    """A time as ``maxTimeMS`` takes it, for which 0 is no limit."""
    return max(1, int(seconds * 1000))

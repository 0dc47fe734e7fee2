"""Convert mongojet's errors, which are text, to errors with their data and their outcome."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

import mongojet

from mongospec_core.errors import (
    DuplicateKeyError,
    EncodingError,
    MongospecError,
    OperationError,
    OperationTimeoutError,
    OptionError,
    Outcome,
    ServerUnavailableError,
    cut,
    shown,
)
from mongospec_core.server.driver_text import DriverText, duplicate_key_names, parse

UNKNOWN_CODES: Mapping[int, str] = {
    1: "an internal error of the server",
    6: "host unreachable: a router lost the shard that it had sent the write to",
    7: "host not found: the same",
    8: "an unknown error of the server",
    24: "a lock timed out, perhaps for a later document",
    46: "a lock is busy: the same",
    50: "the time is up",
    64: "the write concern was not satisfied in time",
    77: "the operation was not finished",
    83: "a router did not get the results of a shard",
    89: "a router's network timed out",
    90: "what a router waited for was canceled",
    91: "the server is shutting down",
    134: "the read concern is not available yet: the server counts it as an error to retry after",
    145: "a router dropped its connections",
    172: "the session of a connection was closed",
    175: "the plan was killed: an index or the collection was dropped meanwhile",
    189: "the primary is stepping down",
    202: "a router's network exceeded its time limit",
    237: "the cursor was killed",
    262: "a time limit was exceeded",
    279: "the client disconnected",
    281: "the coordinator of a transaction over shards is stepping down",
    282: "the coordinator of a transaction over shards decided to abort",
    290: "the transaction lived too long",
    317: "a router's pool of connections expired",
    355: "interrupted: the storage changes",
    358: "internal transactions are not supported, in which a router carries out writes",
    363: "the first attempt of a retried write is still going on",
    384: "a router's connection failed",
    407: "a router got no connection in time, perhaps to one of several shards",
    9001: "a socket failed",
    11600: "interrupted: the server is shutting down",
    11601: "interrupted: the operation was killed",
    11602: "interrupted: the server's role changes",
    46841: "the client was marked as killed",
}
"""Codes after which a write, or a part of it, may have been carried out, and what each means.

A write is not applied after any other: a check came first, or it was rolled back.
"""

_NOT_PRIMARY = frozenset({10107, 13435, 13436})
"""The server did nothing, but the driver has sent a retryable write twice by then, and the outcome
of the first attempt is unknown unless the server says that it performed no writes."""
REFUSED_WHOLE = frozenset({9, 13, 40, 72})
"""Codes of a write that is refused when it is parsed: nothing of an ``update_many`` is applied.

A wrong value or type (2, 14, ...) is found at a document, after others may have been changed.
"""
_DUPLICATE = frozenset({11000, 11001, 12582})
_TIME_UP = 50

# As text: re compiles and caches them at the first error.
_AUTHENTICATION = r"(?:SCRAM|[\w-]{0,30}+ ?[Aa]uthentication) fail"
_AUTHENTICATION_FAILED = 18
_NOT_SENT = (
    r"(?:Server selection timeout|Connection pool for|I/O error: Connection refused"
    r"|Client has been shut down|SCRAM failure|Authentication)"
)
_SERVER = r"Address: (\S+), Type: (\w+)(?:, Error: Kind: (?:I/O error: )?(.*?), labels: )?"
_NO_ANSWER = "no answer"
_TLS_ADVICE = (
    (
        "UnknownIssuer",
        "the URI's tlsCAFile must hold, as PEM, the authority of the server's certificate",
    ),
    (
        r"alert: \w*(?:Cert|CA)",
        "the server wants a certificate that it trusts: tlsCertificateKeyFile in the URI",
    ),
    ("[Ee]xpired", "renew the server's certificate, or set the clock of this machine right"),
    ("not valid for name", "write a name that the server's certificate has into the URI"),
    (
        f"{_NO_ANSWER}|reset|end of file|eof|corrupt",
        "perhaps only one of the two speaks TLS: tls= in the URI",
    ),
)
"""What to do about what a server selection error says."""
_MOST_TOPOLOGY = 20_000  # characters: the description of many servers is too long to read
_LOST = "I/O error"
_INVALID_REPLY = "The server returned an invalid reply"
_DAMAGED = r"An invalid argument was provided: (number too .*|out of range integral type .*)"
"""What the driver says of a length in a reply that cannot be one."""
_TOO_BIG = r"must be within \d+ bytes|[Dd]ocument (?:is )?too large"
_cut = partial(cut, most=600)


class _LostConnectionError(OperationError, ConnectionError):
    """The connection was lost: the server may have received the command."""


def to_operation_error(
    error: Exception,
    operation: str,
    document: Mapping[str, Any] | None = None,
    *,
    write: bool,
    many: bool = False,
) -> MongospecError:
    """Return the typed error for one of mongojet's.

    :param operation: the operation, for the message: ``"User.insert"``.
    :param document: the raw document that an insert sent.
    :param write: whether it could have changed data; a read's outcome is always "not_applied".
    :param many: whether one statement of it can change many documents.
    """
    text = str(error)
    parts = parse(text)
    if isinstance(error, mongojet.PyMongoError) and (
        re.match(_AUTHENTICATION, parts.kind)
        or (parts.part == "command" and parts.code == _AUTHENTICATION_FAILED)
    ):
        return OperationError(
            f"{operation}: authentication failed: {_cut(parts.kind)}",
            outcome="not_applied",
            code=_AUTHENTICATION_FAILED,
        )
    if (damaged := re.match(_DAMAGED, parts.kind)) is not None:
        return OperationError(
            f"{operation}: the server's reply is damaged: {_cut(damaged[1])}",
            outcome="unknown" if write else "not_applied",
        )
    if isinstance(error, ValueError | mongojet.ConfigurationError):
        kind = EncodingError if re.search(_TOO_BIG, text) else OptionError
        return kind(f"{operation}: {_cut(parts.kind)}")
    if isinstance(error, mongojet.BsonSerializationError) or (
        isinstance(error, mongojet.BsonDeserializationError) and not write
    ):
        return EncodingError(f"{operation}: {_cut(parts.kind)}")
    if isinstance(error, mongojet.ServerSelectionError) or re.match(_NOT_SENT, parts.kind):
        return ServerUnavailableError(
            f"{operation}: no server: {_unreachable(parts.kind)}",
            outcome="not_applied",
            labels=parts.labels,
        )
    code, message = parts.code, parts.message
    labels = parts.labels | _labels_in(parts.reply)
    common: dict[str, Any] = {
        "outcome": _outcome(parts, labels, many=many) if write else "not_applied",
        "code": code,
        "labels": labels,
        "details": parts.reply,
    }
    who = f" (the document with _id={shown(document['_id'])})" if document is not None else ""
    return _typed(f"{operation}: {_cut(message)}{who}", code, message, document, common)


def reply_error(reply: Mapping[str, Any], operation: str) -> OperationError | None:
    """Return the error in a reply with ``ok: 1``: write errors first, then the write concern's."""
    errors: Sequence[Mapping[str, Any]] = reply.get("writeErrors") or ()
    concern: Mapping[str, Any] | None = reply.get("writeConcernError")
    if not errors and not concern:
        return None
    first = errors[0] if errors else concern or {}
    code, message = int(first.get("code", 0)), str(first.get("errmsg", ""))
    outcome: Outcome = "applied" if _found(reply) != 0 else "not_applied"
    if any(error.get("code") in UNKNOWN_CODES for error in errors):
        outcome = "unknown"
    elif errors:
        outcome = "partial" if reply.get("n") else "not_applied"
    common: dict[str, Any] = {
        "outcome": outcome,
        "code": code,
        "labels": _labels_in(reply),
        "details": dict(reply),
    }
    return _typed(f"{operation}: {_cut(message)}", code, message, None, common)


def _typed(
    text: str,
    code: int | None,
    message: str,
    document: Mapping[str, Any] | None,
    common: dict[str, Any],
) -> OperationError:
    if code in _DUPLICATE:
        index, pattern, value = duplicate_key(message, common["details"], document)
        return DuplicateKeyError(text, index=index, key_pattern=pattern, key_value=value, **common)
    if code == _TIME_UP:
        return OperationTimeoutError(text, **common)
    if code is None and message.startswith(_LOST):
        return _LostConnectionError(text, **common)
    return OperationError(text, **common)


def _outcome(parts: DriverText, labels: frozenset[str], *, many: bool) -> Outcome:
    code, reply = parts.code, parts.reply
    if "UnknownTransactionCommitResult" in labels:
        return "unknown"
    if parts.kind.startswith(_INVALID_REPLY):
        if reply is None or reply.get("ok") != 1 or "writeErrors" in reply:
            return "unknown"
        count: Any = _found(reply)  # without one, it may have found nothing
        return "applied" if type(count) is int and count > 0 else "unknown"
    if parts.part == "concern":
        return "not_applied" if reply is not None and _found(reply) == 0 else "applied"
    if parts.part == "write" and many:
        return _partly(code, reply)
    if code is None or code in UNKNOWN_CODES:  # a router reports it for single statements as well
        return "unknown"
    if code in _NOT_PRIMARY and "RetryableWriteError" in labels:
        return "not_applied" if "NoWritesPerformed" in labels else "unknown"
    return "not_applied"


def _found(reply: Mapping[str, Any]) -> int | None:
    """Return how many documents a write found or inserted, if its reply has the number."""
    found: int | None = (reply.get("lastErrorObject") or reply).get("n")
    return found


def _partly(code: int | None, details: Mapping[str, Any] | None) -> Outcome:
    """Return the outcome of a failed ``update_many``, which stops at the first document it cannot change.

    Others may have been changed by then, and not every server counts them.
    """
    if details is not None and details.get("n"):
        return "partial"
    return "not_applied" if code in REFUSED_WHOLE else "unknown"


def _unreachable(kind: str) -> str:
    """Return what a server selection error says of each server; the cause has the whole text."""
    servers = re.findall(_SERVER, kind[:_MOST_TOPOLOGY])
    if not servers:
        return _cut(kind)
    reasons = "; ".join(
        f"{address} ({reason or (_NO_ANSWER if kind == 'Unknown' else 'not what was looked for')})"
        for address, kind, reason in servers
    )
    advice = next((advice for sign, advice in _TLS_ADVICE if re.search(sign, reasons)), None)
    return f"{reasons}; {advice}" if advice else reasons


def _labels_in(reply: Mapping[str, Any] | None) -> frozenset[str]:
    return frozenset(map(str, reply.get("errorLabels") or ())) if reply is not None else frozenset()


def duplicate_key(
    message: str,
    details: Mapping[str, Any] | None = None,
    document: Mapping[str, Any] | None = None,
) -> tuple[str | None, dict[str, Any] | None, dict[str, Any] | None]:
    """Return the index name, key pattern and key value of a duplicate key error.

    The server's reply has them, if there was one; an insert's error has only the message, which
    names the fields: their values are then taken from the raw *document* that was sent. Both are None
    if the fields cannot be told from the text of a user in it.
    """
    index, fields = duplicate_key_names(message, document)
    for reply in (details or {}, *((details or {}).get("writeErrors") or ())[:1]):
        if "keyPattern" in reply:
            return index, reply["keyPattern"], reply.get("keyValue")
    if fields is None:
        return index, None, None
    value = {each: _dig(document, each) for each in fields} if document is not None else None
    return index, dict.fromkeys(fields, 1), value


def _dig(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for step in path.split("."):
        value = cast("Mapping[str, Any]", value).get(step) if isinstance(value, Mapping) else None
    return value

"""From mongojet's errors, which are text, to errors that carry their data and their outcome."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import mongojet
from bson.errors import BSONError

from mongospec_core.codec.codec_options import DECIMAL_CODEC_OPTIONS, decode
from mongospec_core.errors import (
    DuplicateKeyError,
    EncodingError,
    MongospecError,
    OperationError,
    OperationTimeoutError,
    OptionError,
    Outcome,
    ServerUnavailableError,
)

_UNKNOWN_CODES = frozenset({50, 64, 91, 189, 262, 11600, 11602})
"""Codes after which a write may still have been carried out (a primary that steps down, ...)."""
_NOT_PRIMARY = frozenset({10107, 13435, 13436})
"""The server did nothing; but the driver has sent a retryable write twice by then, and what became
of the first time is not told, unless the server says that it performed none."""
REFUSED_WHOLE = frozenset({9, 13, 40, 52, 54, 72})
"""Codes of a write that cannot be carried out on any document: nothing of an ``update_many`` is."""
_DUPLICATE = frozenset({11000, 11001, 12582})
_TIME_UP = 50

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_COMMAND = re.compile(
    r"Kind: Command failed: Error code (-?\d+) \((.*?)\): (.*), labels: \{", re.DOTALL
)
_WRITE = re.compile(
    r"(?P<indexed>Indexed)?WriteError \{ (?:index: (?P<index>\d+), )?code: (?P<code>-?\d+), "
    r"code_name: (?:None|Some\(" + _QUOTED + r"\)), message: " + _QUOTED
)
_CONCERN = re.compile(
    r"WriteConcernError \{ code: (-?\d+), code_name: " + _QUOTED + r", message: " + _QUOTED
)
_LABELS = re.compile(r"labels: \{([^}]*)\}, source: ")
_REPLY = re.compile(r'RawDocumentBuf \{ data: "([0-9a-f]+)" \}')
_AUTHENTICATION = re.compile(r"((?:SCRAM|\w*[Aa]uthentication) fail\w*[^,]*)")
_AUTHENTICATION_FAILED = 18
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-f]+)\}|(.))")
_INDEX = re.compile(r"index: (\S+)(?: collation: .*?)? dup key: (\{.*\})", re.DOTALL)
_NOT_SENT = re.compile(
    r"Kind: (?:Server selection timeout|Connection pool for|I/O error: Connection refused"
    r"|Client has been shut down|SCRAM failure|Authentication)"
)
_SERVER = re.compile(
    r"Address: (\S+), Type: \w+(?:, Error: Kind: (?:I/O error: )?(.*?), labels: )?"
)
_INVALID_REPLY = "Kind: The server returned an invalid reply"
_TOO_BIG = re.compile(r"must be within \d+ bytes|[Dd]ocument (?:is )?too large")
_READABLE = DECIMAL_CODEC_OPTIONS.with_options(unicode_decode_error_handler="replace")


def to_operation_error(
    error: Exception,
    operation: str,
    document: Mapping[str, Any] | None = None,
    *,
    write: bool,
    many: bool = False,
) -> MongospecError:
    """The typed error for one of mongojet's.

    :param operation: what was asked, for the message: ``"User.insert"``.
    :param document: the raw document that an insert sent.
    :param write: whether it could have changed data; a read's outcome is always "not_applied".
    :param many: whether one statement of it can change many documents.
    """
    text = str(error)
    if (refused := _AUTHENTICATION.search(text)) is not None:
        return OperationError(
            f"{operation}: the server does not let this user in: {refused[1]}",
            outcome="not_applied",
            code=_AUTHENTICATION_FAILED,
        )
    if isinstance(error, ValueError | mongojet.ConfigurationError):
        kind = EncodingError if _TOO_BIG.search(text) else OptionError
        return kind(f"{operation}: {text}")
    if isinstance(error, mongojet.BsonSerializationError) or (
        isinstance(error, mongojet.BsonDeserializationError) and not write
    ):
        return EncodingError(f"{operation}: {text}")
    labels = _labels(error, text)
    if isinstance(error, mongojet.ServerSelectionError) or _NOT_SENT.match(text):
        return ServerUnavailableError(
            f"{operation}: no server: {_unreachable(text)}", outcome="not_applied", labels=labels
        )
    details = _reply(text)
    code, message = _code_and_message(text, details)
    common: dict[str, Any] = {
        "outcome": _outcome(text, code, details, labels, many=many) if write else "not_applied",
        "code": code,
        "labels": labels | _labels_in(details),
        "details": details,
    }
    who = f" (the document with _id={document['_id']!r})" if document is not None else ""
    return _typed(f"{operation}: {message}{who}", code, message, document, common)


def reply_error(reply: Mapping[str, Any], operation: str) -> OperationError | None:
    """The error in a reply that calls itself ok: write errors first, then the write concern's."""
    errors: Sequence[Mapping[str, Any]] = reply.get("writeErrors") or ()
    concern: Mapping[str, Any] | None = reply.get("writeConcernError")
    if not errors and not concern:
        return None
    first = errors[0] if errors else concern or {}
    code, message = int(first.get("code", 0)), str(first.get("errmsg", ""))
    outcome: Outcome = "applied"
    if errors:
        outcome = "partial" if reply.get("n") else "not_applied"
    common: dict[str, Any] = {
        "outcome": outcome,
        "code": code,
        "labels": _labels_in(reply),
        "details": dict(reply),
    }
    return _typed(f"{operation}: {message}", code, message, None, common)


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
    return OperationError(text, **common)


def _outcome(
    text: str,
    code: int | None,
    details: Mapping[str, Any] | None,
    labels: frozenset[str],
    *,
    many: bool,
) -> Outcome:
    if "UnknownTransactionCommitResult" in labels:
        return "unknown"
    if text.startswith(_INVALID_REPLY):
        carried_out = (
            details is not None and details.get("ok") == 1 and "writeErrors" not in details
        )
        return "applied" if carried_out else "unknown"
    if not text.startswith("Kind: Command failed"):
        if _WRITE.search(text):
            return _partly(code, details) if many else "not_applied"
        if _CONCERN.search(text):
            return "applied"
    if code is None or code in _UNKNOWN_CODES:
        return "unknown"
    if code in _NOT_PRIMARY and "RetryableWriteError" in labels:
        return "not_applied" if "NoWritesPerformed" in labels else "unknown"
    return "not_applied"


def _partly(code: int | None, details: Mapping[str, Any] | None) -> Outcome:
    """What a failed ``update_many`` did: it ends at the first document that it cannot change.

    Some are changed then, and not every server counts them.
    """
    if details is not None and details.get("n"):
        return "partial"
    return "not_applied" if code in REFUSED_WHOLE else "unknown"


def _code_and_message(text: str, details: Mapping[str, Any] | None) -> tuple[int | None, str]:
    if (command := _COMMAND.match(text)) is not None:
        return int(command[1]), command[3]
    if (write := _WRITE.search(text)) is not None:
        return int(write["code"]), _unescaped(write[5])
    if (concern := _CONCERN.search(text)) is not None:
        return int(concern[1]), _unescaped(concern[3])
    if details is not None and isinstance(details.get("code"), int):
        return int(details["code"]), str(details.get("errmsg", text))
    return None, text


def write_errors(text: str) -> list[tuple[int, int, str]]:
    """Index, code and message of every document that an insert_many error names."""
    return [
        (int(each["index"]), int(each["code"]), _unescaped(each[5]))
        for each in _WRITE.finditer(text)
        if each["index"] is not None
    ]


def _unreachable(text: str) -> str:
    """What a server selection error says of each server; the whole text is in the cause's."""
    servers = _SERVER.findall(text)
    if not servers:
        return text.removeprefix("Kind: ").partition(", labels: ")[0]
    return "; ".join(
        f"{address} ({reason or 'not what was looked for'})" for address, reason in servers
    )


def _labels(error: Exception, text: str) -> frozenset[str]:
    found = _LABELS.findall(text)
    if not found:
        return frozenset()
    # A server selection error tells the servers' own errors before it comes to its own labels.
    own = found[-1] if isinstance(error, mongojet.ServerSelectionError) else found[0]
    return frozenset(re.findall(r'"([^"]+)"', own))


def _labels_in(reply: Mapping[str, Any] | None) -> frozenset[str]:
    return frozenset(reply.get("errorLabels") or ()) if reply is not None else frozenset()


def _reply(text: str) -> dict[str, Any] | None:
    found = _REPLY.search(text)
    if found is None:
        return None
    try:
        return decode(bytes.fromhex(found[1]), _READABLE)
    except BSONError:
        return None  # that is why it is an error


def _unescaped(text: str) -> str:
    plain = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else plain.get(m[2], m[2]), text)


def duplicate_key(
    message: str,
    details: Mapping[str, Any] | None = None,
    document: Mapping[str, Any] | None = None,
) -> tuple[str | None, dict[str, Any] | None, dict[str, Any] | None]:
    """Index name, key pattern and key value of a duplicate key error.

    The server's reply has both where there was one; an insert's error has only the message, which
    names the fields: their values are then taken from the raw *document* that was sent.
    """
    found = _INDEX.search(message)
    index = found[1] if found else None
    for reply in (details or {}, *((details or {}).get("writeErrors") or ())[:1]):
        if "keyPattern" in reply:
            return index, reply["keyPattern"], reply.get("keyValue")
    if found is None:
        return index, None, None
    fields = _first_names(found[2])
    value = {each: _dig(document, each) for each in fields} if document is not None else None
    return index, dict.fromkeys(fields, 1), value


def _first_names(text: str) -> list[str]:
    """The top-level names in ``{ a.b: "x: y", c: { d: 1 } }``."""
    names: list[str] = []
    depth, word, quoted, escaped = 0, "", False, False
    for char in text:
        if quoted:
            quoted, escaped = escaped or char != '"', char == "\\" and not escaped
        elif char == '"':
            quoted = True
        elif char in "{[(":
            depth, word = depth + 1, ""
        elif char in "}])":
            depth -= 1
        elif char == ",":
            word = ""
        elif char == ":" and depth == 1:
            names.append(word.strip())
        else:
            word += char
    return [each for each in names if each and " " not in each]


def _dig(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for step in path.split("."):
        value = cast("Mapping[str, Any]", value).get(step) if isinstance(value, Mapping) else None
    return value

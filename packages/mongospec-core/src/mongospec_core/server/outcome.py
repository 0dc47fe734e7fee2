"""From mongojet's errors, which are text, to errors that carry their data and their outcome."""

import re
from collections.abc import Mapping
from typing import Any

import bson
import mongojet

from mongospec_core.codec.values import DECIMAL
from mongospec_core.errors import (
    DuplicateKeyError,
    EncodingError,
    MongospecError,
    OperationError,
    OptionError,
    Outcome,
    ServerUnavailableError,
)

_UNKNOWN_CODES = frozenset({50, 64, 91, 189, 262, 11600, 11602})
"""Codes after which a write may still have been carried out (a primary that steps down, ...)."""
_DUPLICATE = frozenset({11000, 11001, 12582})

_COMMAND = re.compile(r"Command failed: Error code (\d+) \((\w*)\): (.*?), labels: ", re.DOTALL)
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_WRITE = re.compile(
    r"(?P<indexed>Indexed)?WriteError \{ (?:index: (?P<index>\d+), )?code: (?P<code>-?\d+), "
    r"code_name: (?:None|Some\(" + _QUOTED + r"\)), message: " + _QUOTED
)
_CONCERN = re.compile(
    r"WriteConcernError \{ code: (-?\d+), code_name: " + _QUOTED + r", message: " + _QUOTED
)
_LABELS = re.compile(r"labels: \{([^}]*)\}")
_REPLY = re.compile(r'RawDocumentBuf \{ data: "([0-9a-f]+)" \}')
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-f]+)\}|(.))")
_INDEX = re.compile(r"index: (\S+)(?: collation: .*?)? dup key: (\{.*\})", re.DOTALL)


def translate(
    error: Exception,
    operation: str,
    document: Mapping[str, Any] | None = None,
    *,
    write: bool,
) -> MongospecError:
    """The typed error for one of mongojet's.

    :param operation: what was asked, for the message: ``"User.insert"``.
    :param document: the raw document that an insert sent.
    :param write: whether it could have changed data; a read's outcome is always "not_applied".
    """
    text = str(error)
    if isinstance(error, mongojet.ServerSelectionError):
        return ServerUnavailableError(
            f"{operation}: no server: {text}", outcome="not_applied", labels=_labels(text)
        )
    if isinstance(error, mongojet.BsonSerializationError | mongojet.BsonDeserializationError):
        return EncodingError(f"{operation}: {text}")
    if isinstance(error, ValueError | mongojet.ConfigurationError):
        return OptionError(f"{operation}: {text}")
    details = _reply(text)
    code, message = _code_and_message(text, details)
    outcome = _outcome(text, code) if write else "not_applied"
    common: dict[str, Any] = {
        "outcome": outcome,
        "code": code,
        "labels": _labels(text),
        "details": details,
    }
    if code in _DUPLICATE:
        index, pattern, value = duplicate_key(message, details, document)
        return DuplicateKeyError(
            f"{operation}: {message}", index=index, key_pattern=pattern, key_value=value, **common
        )
    return OperationError(f"{operation}: {message}", **common)


def _outcome(text: str, code: int | None) -> Outcome:
    if _WRITE.search(text):
        return "not_applied"
    if _CONCERN.search(text):
        return "applied"
    if code is not None and code not in _UNKNOWN_CODES:
        return "not_applied"
    return "unknown"


def _code_and_message(text: str, details: Mapping[str, Any] | None) -> tuple[int | None, str]:
    if (write := _WRITE.search(text)) is not None:
        return int(write["code"]), _unescaped(write[5])
    if (concern := _CONCERN.search(text)) is not None:
        return int(concern[1]), _unescaped(concern[3])
    if (command := _COMMAND.search(text)) is not None:
        return int(command[1]), command[3]
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


def _labels(text: str) -> frozenset[str]:
    found = _LABELS.search(text)
    return frozenset(re.findall(r'"([^"]+)"', found[1])) if found else frozenset()


def _reply(text: str) -> dict[str, Any] | None:
    found = _REPLY.search(text)
    return bson.decode(bytes.fromhex(found[1]), codec_options=DECIMAL) if found else None


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
    if details is not None and "keyPattern" in details:
        return index, details["keyPattern"], details.get("keyValue")
    if found is None:
        return index, None, None
    fields = _first_names(found[2])
    value = {each: _dig(document, each) for each in fields} if document is not None else None
    return index, dict.fromkeys(fields, 1), value


def _first_names(text: str) -> list[str]:
    """The top-level names in ``{ a.b: "x: y", c: { d: 1 } }``."""
    names, depth, word, quoted, escaped = [], 0, "", False, False
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
        value = value.get(step) if isinstance(value, Mapping) else None
    return value

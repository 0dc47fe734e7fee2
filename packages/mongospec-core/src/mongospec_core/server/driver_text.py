"""Parse the text of mongojet's errors: kind, labels, the server's reply, code and message."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from bson import Code, DBRef, Regex
from bson.errors import BSONError

from mongospec_core.codec.codec_options import DECIMAL_CODEC_OPTIONS, decode
from mongospec_core.server.reply import check_reply

# The driver's text is "Kind: KIND, labels: {LABELS}, source: SOURCE, server response: REPLY". Values of
# users stand in KIND, so each part is taken from its place, and patterns are matched where a part
# begins: none is searched for. All of them are possessive, or a long value would take quadratic time.
# They are text, which re compiles and caches at the first error.
_QUOTED = r'"((?:[^"\\]++|\\.)*+)"'
_COMMAND = r"Command failed: Error code (-?\d+) \([^)]*+\): "
_WRITE = (
    r"(?s)(?:index: (?P<index>\d+), )?code: (?P<code>-?\d+), "
    r"code_name: (?:None|Some\(" + _QUOTED + r"\)), message: " + _QUOTED
)
_CONCERN = (
    r"(?s)WriteConcernError \{ code: (-?\d+), code_name: " + _QUOTED + r", message: " + _QUOTED
)
_ONE_WRITE = "An error occurred when trying to execute a write operation: "
_MANY_WRITES = "An error occurred when trying to execute an insert_many operation: "
_WITH_VALUES = ("Command failed", "An error occurred when trying to execute ")
_LABELS = r', labels: \{((?:"[^"]*+"(?:, )?)*+)\}$'
_REPLY = r'Some\(RawDocumentBuf \{ data: "([0-9a-f]*+)" \}\)$'
_SYMBOL = r'(?s)"(?:[^"\\]++|\\.)*+"|[{}()\[\]]'
_NAME = r'([^"{}\[\],:]++): '
_SCALAR = r"(?:new )?[\w.+:-]++(?:\([^()]*+\))?"
_CODE_POINT = r"\\u\{([0-9a-f]+)\}"
_READABLE = DECIMAL_CODEC_OPTIONS.with_options(unicode_decode_error_handler="replace")


class DriverText(msgspec.Struct, frozen=True):
    """The parts of a driver's text; ``part`` is the error that ``code`` and ``message`` belong to."""

    kind: str
    labels: frozenset[str]
    reply: dict[str, Any] | None
    part: Literal["command", "write", "concern", "other"]
    code: int | None
    message: str


def parse(text: str) -> DriverText:
    """Parse the text of one of mongojet's errors, in linear time."""
    head, _, tail = text.rpartition(", server response: ")
    if not head:
        head, tail = text, ""
    data = re.match(_REPLY, tail)
    kind = head.removeprefix("Kind: ")
    labels: frozenset[str] = frozenset()
    if head.endswith(", source: None"):
        own = head.removesuffix(", source: None")
        start = own.rfind(", labels: {")
    else:  # the errors behind it have labels of their own
        own, _, source = head.partition(", source: Some(Error { ")
        # If a user's value may precede it, it is not certain that it is the driver's.
        start = own.rfind(", labels: {") if source and not kind.startswith(_WITH_VALUES) else -1
    if start >= 0 and (found := re.compile(_LABELS).match(own, start)) is not None:
        labels = frozenset(re.findall(r'"([^"]+)"', found[1]))
        kind = own[:start].removeprefix("Kind: ")
    reply = _reply(data[1]) if data else None
    return DriverText(kind, labels, reply, *_error_of(kind, reply))


def _error_of(
    kind: str, reply: Mapping[str, Any] | None
) -> tuple[Literal["command", "write", "concern", "other"], int | None, str]:
    if (command := re.match(_COMMAND, kind)) is not None:
        return "command", int(command[1]), kind[command.end() :]
    if (write := _write(kind)) is not None:
        return "write", int(write["code"]), _unescaped(write[4])
    errors, behind = _indexed_errors(kind)
    if errors:
        return "write", errors[0][1], errors[0][2]
    if (concern := _concern(kind, behind)) is not None:
        return "concern", int(concern[1]), _unescaped(concern[3])
    part: Literal["command", "other"] = "command" if kind.startswith("Command failed") else "other"
    if reply is not None and isinstance(reply.get("code"), int):
        return part, int(reply["code"]), str(reply.get("errmsg", kind))
    return part, None, kind


def _write(kind: str) -> re.Match[str] | None:
    """Return the error of a single write, at its position."""
    opening = f"{_ONE_WRITE}WriteError(WriteError {{ "
    return re.compile(_WRITE).match(kind, len(opening)) if kind.startswith(opening) else None


def _concern(kind: str, behind: int) -> re.Match[str] | None:
    """Return the write concern's error, at its position: alone, or after those of an insert_many."""
    opening = f"{_ONE_WRITE}WriteConcernError("
    if kind.startswith(opening):
        return re.compile(_CONCERN).match(kind, len(opening))
    opening = ", write_concern_error: Some("
    return (
        re.compile(_CONCERN).match(kind, behind + len(opening))
        if kind.startswith(opening, behind)
        else None
    )


def write_errors(text: str) -> list[tuple[int, int, str]]:
    """Return index, code and message of every document that an insert_many error names."""
    return _indexed_errors(text.removeprefix("Kind: "))[0]


def _indexed_errors(kind: str) -> tuple[list[tuple[int, int, str]], int]:
    """Return those errors, and the position after them."""
    found: list[tuple[int, int, str]] = []
    opening = f"{_MANY_WRITES}InsertManyError {{ write_errors: "
    if not kind.startswith(opening):
        return found, 0
    place = len(opening)
    if kind.startswith("None", place):
        return found, place + len("None")
    place += len("Some([")
    while kind.startswith(_INDEXED, place):
        each = re.compile(_WRITE).match(kind, place + len(_INDEXED))
        if each is None:
            break
        found.append((int(each["index"]), int(each["code"]), _unescaped(each[4])))
        place = _closed(kind, each.end())
        if kind.startswith(", ", place):
            place += len(", ")
    return found, place + len("])")


_INDEXED = "IndexedWriteError { "


def _closed(text: str, start: int) -> int:
    """Return the position after the bracket that closes the one around *start*."""
    depth = 1
    for token in re.compile(_SYMBOL).finditer(text, start):
        if token[0] in "{([":
            depth += 1
        elif token[0] in "})]":
            depth -= 1
            if depth == 0:
                return token.end()
    return len(text)


def _reply(data: str) -> dict[str, Any] | None:
    try:
        reply = decode(bytes.fromhex(data), _READABLE)
        check_reply(reply)
    except (BSONError, ValueError):
        return None  # the reply is damaged, which is why there is an error
    return reply


def _unescaped(text: str) -> str:
    """Undo Rust's escapes; a lone surrogate, which text cannot contain, stands for a backslash."""
    text = text.replace("\\\\", "\udcff")
    for written, meant in (("\\n", "\n"), ("\\t", "\t"), ("\\r", "\r"), ("\\0", "\0")):
        text = text.replace(written, meant)
    text = re.sub(_CODE_POINT, lambda found: chr(int(found[1], 16)), text)
    return text.replace("\\", "").replace("\udcff", "\\")


def duplicate_key_names(
    message: str, document: Mapping[str, Any] | None = None
) -> tuple[str | None, list[str] | None]:
    """Return the index and the fields that the message of a duplicate key error names.

    The fields are None if it names no key, or if a user's text in it may be read as a name: servers do
    not escape the values.

    :param document: the raw document that was sent, by whose values their ends are found.
    """
    _, _, rest = message.partition(" index: ")
    before, _, key = rest.partition(" dup key: ")
    index = before.partition(" collation: ")[0] or None
    return index, _key_names(key, document) if key.startswith("{ ") else None


def _key_names(key: str, document: Mapping[str, Any] | None) -> list[str] | None:
    """Return the names in ``{ a.b: "x: y", c: { d: 1 } }``."""
    names: list[str] = []
    place = len("{ ")
    while (name := re.compile(_NAME).match(key, place)) is not None:
        names.append(name[1].strip())
        end = _after_value(key, name.end(), _values_at(document, names[-1]))
        if end is None or key.startswith(" }", end):
            return None if end is None else names
        if not key.startswith(", ", end):
            break
        place = end + len(", ")
    return None


def _after_value(key: str, place: int, values: Sequence[Any]) -> int | None:
    """Return the position after the value at *place*; None if it is not certain.

    :param values: those that the document has in the field.
    """
    if key.startswith('"', place):
        ends = {
            place + len(each) + 2
            for each in values
            if isinstance(each, str) and key.startswith(f'"{each}"', place)
        }
        if ends:
            return ends.pop() if len(ends) == 1 else None
        last = key.rfind('" }')
        return None if '", ' in key[place:] or last <= place else last + 1
    if not all(map(_is_harmless, values)):
        return None
    if key.startswith(("{", "["), place):
        return _closed(key, place + 1) if values else None
    scalar = re.compile(_SCALAR).match(key, place)
    return None if scalar is None else scalar.end()


def _values_at(document: Any, path: str) -> list[Any]:
    """Return the values at a path, as an index has them: those of a list's elements."""
    found = [document]
    for step in path.split("."):
        inside = [each for one in found for each in (one if isinstance(one, list) else [one])]
        found = [each[step] for each in inside if isinstance(each, Mapping) and step in each]
    return [each for one in found for each in (one if isinstance(one, list) else [one])]


def _is_harmless(value: Any) -> bool:
    """Return whether a value's text cannot be taken for the end of it."""
    if isinstance(value, Mapping):
        return all(_is_harmless(each) for item in value.items() for each in item)
    if isinstance(value, list):
        return all(map(_is_harmless, value))
    if isinstance(value, Code | Regex | DBRef):
        return False
    return not isinstance(value, str) or not re.search(r'["\\{}()\[\]]', value)

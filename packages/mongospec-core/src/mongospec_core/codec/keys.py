"""Keys of dicts. BSON keys are strings: a key that would not be read back unchanged is refused."""

# pyright: reportUnknownArgumentType=false, reportUnknownLambdaType=false
# pyright: reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import datetime as dt
import types
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from bson import ObjectId
from bson.errors import BSONError

from mongospec_core.codec.annotations import accepts_anything, unwrap
from mongospec_core.codec.datetimes import Truncation
from mongospec_core.codec.raw_values import (
    MILLISECOND,
    Rejected,
    in_utc,
    is_registered,
    key_to_raw,
    rejected,
)
from mongospec_core.errors import DefinitionError

_READ_BY_MSGSPEC = (str, int, float)
_TEXTS = (*(int, float, Decimal, uuid.UUID, ObjectId, Enum), dt.date, dt.time, dt.timedelta)
"""Types whose values are written as text without :func:`register_encoder`; str besides."""
_NOT_FROM_TEXT = [tp.__new__ for tp in (dt.datetime, dt.date, dt.time, dt.timedelta)]
_READ_HERE = (*(uuid.UUID, Decimal, dt.datetime, dt.date, dt.time, dt.timedelta, bool),)


class KeyCodec(NamedTuple):
    """How the keys of one dict annotation are checked, decoded and truncated.

    :ivar kind: the exact type of most keys; every key is read back as this type.
    :ivar refused: returns a placeholder for a key that would not be read back; else None.
    :ivar decode: converts the stored text to a key; None: msgspec reads it.
    :ivar truncate: cuts keys in objects to what would be read back; None: nothing to cut.
    """

    kind: type | None
    refused: Callable[[Any], Rejected | None]
    decode: Callable[[str], Any] | None = None
    truncate: Truncation | None = None


def key_codec(tp: Any, dec_hook: Callable[[type, Any], Any] | None) -> KeyCodec:
    """Compile the annotation of a dict's keys.

    :param tp: the annotation, without aliases and qualifiers.
    :param dec_hook: the ``dec_hook`` of the class that has the field.
    :raises DefinitionError: the key cannot be read back from its text.
    """
    if accepts_anything(tp):
        return KeyCodec(
            None, lambda _: None
        )  # read as text: values of type Any are read as BSON's own types, too
    if get_origin(tp) is Literal:
        return KeyCodec(None, _of_kinds(tuple({type(each) for each in get_args(tp)})))
    if not isinstance(tp, type) or _cannot_be_text(tp, dec_hook):
        raise DefinitionError(
            f"keys of type {getattr(tp, '__name__', tp)} do not come back, because BSON has strings "
            f"for keys; use str, int, an Enum, UUID, date or their like, or a type that "
            f"register_encoder writes as one of them"
        )
    if issubclass(tp, Enum) or tp in _READ_BY_MSGSPEC:
        return KeyCodec(tp, _of_kinds((tp, int) if tp is float else (tp,)))
    if tp in _READ_HERE:
        return KeyCodec(tp, _of_kinds((tp,)), _reader(tp), _TRUNCATIONS.get(tp))
    decode = _own_reader(tp, dec_hook)
    return KeyCodec(None, _of_own(tp, decode), decode)


def key_type(annotation: Any) -> Any:
    """Return the annotation of keys without None, which cannot be a key.

    :raises DefinitionError: it is a union, whose members cannot be told apart as text.
    """
    tp = unwrap(annotation)
    if get_origin(tp) not in (Union, types.UnionType):
        return tp
    arms = [unwrap(each) for each in get_args(tp) if each is not type(None)]
    if len(arms) > 1:
        names = " and ".join(getattr(each, "__name__", str(each)) for each in arms)
        raise DefinitionError(f"keys are stored as strings, which do not tell {names} apart")
    return arms[0]


def _cannot_be_text(tp: type, dec_hook: Callable[[type, Any], Any] | None) -> bool:
    if getattr(tp, "__hash__", None) is None:
        return True
    if issubclass(tp, str) or is_registered(tp):
        return False
    if not issubclass(tp, _TEXTS) or issubclass(tp, Collection):
        return True
    # A date's own subclass cannot be made of text, unless a dec_hook says how.
    return tp not in _READ_HERE and dec_hook is None and tp.__new__ in _NOT_FROM_TEXT


def _of_kinds(kinds: tuple[type, ...]) -> Callable[[Any], Rejected | None]:
    wanted = " or ".join(each.__name__ for each in kinds[:1])

    def refused(key: Any) -> Rejected | None:
        if isinstance(key, kinds):
            return None
        return rejected(f"a key of type {type(key).__name__} in place of {wanted}")

    return refused


def _reader(tp: type) -> Callable[[str], Any]:
    def decode(key: str) -> Any:
        try:
            if tp is dt.timedelta:  # msgspec would read seconds
                return int(key) * MILLISECOND
            return msgspec.convert(key, tp, strict=False)
        except ValueError:
            return key  # msgspec reports it in the error for the whole document

    return decode


def _own_reader(tp: type, dec_hook: Callable[[type, Any], Any] | None) -> Callable[[str], Any]:
    """Return the decoder of keys whose type msgspec does not know and would leave as text."""
    hook = None if tp.__module__.startswith("bson.") else dec_hook

    def decode(key: str) -> Any:
        try:
            if hook is not None:
                with suppress(NotImplementedError):
                    return hook(tp, key)
            return tp(key)
        except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, BSONError):
            return rejected(f"a key that is not a {tp.__name__}")

    return decode


def _of_own(tp: type, decode: Callable[[str], Any]) -> Callable[[Any], Rejected | None]:
    check = _of_kinds((tp,))

    def refused(key: Any) -> Rejected | None:
        back = None if not isinstance(key, tp) else decode(key_to_raw(key))
        if back is not None and type(back) is type(key) and back == key:
            return None
        return check(key) or rejected(
            f"a key of type {tp.__name__}, which its text does not make again: "
            f"read it by a dec_hook of the class, or by {tp.__name__}(text)"
        )

    return refused


def _truncate_timedelta(key: Any, where: str) -> Any:
    return key // MILLISECOND * MILLISECOND if isinstance(key, dt.timedelta) else key


def _truncate_datetime(key: Any, where: str) -> Any:
    return in_utc(key) if isinstance(key, dt.datetime) else key


_TRUNCATIONS: dict[type, Truncation] = {
    dt.timedelta: _truncate_timedelta,
    dt.datetime: _truncate_datetime,
}

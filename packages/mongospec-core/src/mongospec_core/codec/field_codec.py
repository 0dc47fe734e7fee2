"""Compile one annotation to its codec.

Most annotations need no codec: bson and msgspec agree on ``str``, ``int``, ``datetime``, ``UUID``
and the like, so a flat class has an empty plan and pays nothing.
"""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import datetime as dt
import types
import uuid
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin

import msgspec

from mongospec_core.codec.annotations import (
    accepts_anything,
    class_of,
    declared_fields,
    unwrap,
    unwrapped,
)
from mongospec_core.codec.datetimes import (
    Truncation,
    truncate,
    truncate_dict,
    truncate_items,
    truncate_keys,
    truncate_naive,
    truncate_places,
)
from mongospec_core.codec.keys import key_codec, key_type
from mongospec_core.codec.raw_values import (
    Rejected,
    in_order,
    is_embedded,
    is_embedded_class,
    is_registered,
    key_to_raw,
    rejected,
    to_raw,
)
from mongospec_core.codec.types import (
    NOTHING,
    SCALARS,
    Decoder,
    FieldCodec,
    Kind,
    decode_any,
    enum_value,
    kind_of,
    wall_clock,
    without_zone,
)
from mongospec_core.errors import DefinitionError


class Scope(msgspec.Struct, frozen=True):
    """The class that an annotation belongs to.

    :ivar nested: returns the codec of a nested Struct or dataclass.
    :ivar dec_hook: the class's own, if it has one.
    """

    nested: Callable[[Any], FieldCodec]
    dec_hook: Callable[[type, Any], Any] | None


ANYTHING = FieldCodec(to_raw, decode_any, truncate)
NAIVE_DATETIME = FieldCodec(wall_clock, without_zone, truncate_naive)
_ARRAYS = (list, tuple, set, frozenset)
_KNOWN_TO_MSGSPEC = (
    *(str, int, float, bool, bytes, bytearray, Decimal, uuid.UUID),
    *(dt.datetime, dt.date, dt.time, dt.timedelta),
)


def compile_codec(annotation: Any, scope: Scope) -> FieldCodec:
    """Compile one annotation.

    :param scope: the class that it belongs to.
    :raises DefinitionError: values of the annotation cannot be told apart in the database.
    """
    tp, metas = unwrapped(annotation)
    if get_origin(tp) in (Union, types.UnionType):
        return _union(get_args(tp), scope)
    cls: Any = get_origin(tp) or tp
    match kind_of(tp):
        case Kind.ANYTHING:
            return ANYTHING
        case Kind.REGISTERED:
            return FieldCodec(to_raw, _by_hook(cls, scope.dec_hook))
        case Kind.SCALAR:
            naive = cls is dt.datetime and any(each.tz is False for each in metas)
            return NAIVE_DATETIME if naive else SCALARS[cls].codec
        case Kind.ENUM:
            return FieldCodec(
                enum_value if all(_is_kept(type(each.value)) for each in cls) else to_raw
            )
        case Kind.ID:
            return FieldCodec(to_raw, cls.__bson_decoder__())
        case Kind.DOCUMENT | Kind.ROW if is_embedded_class(cls):
            return scope.nested(tp)
        case Kind.DOCUMENT:
            fields = {each.name: compile_codec(each.type, scope) for each in declared_fields(tp)}
            return _typed_dict(cls, fields)
        case Kind.ROW:
            return _fixed(cls, [compile_codec(each.type, scope) for each in declared_fields(tp)])
        case Kind.MAPPING:
            return _mapping(cls, get_args(tp), scope)
        case Kind.ARRAY:
            return _array(cls, compile_codec((get_args(tp) or (Any,))[0], scope))
        case Kind.LITERAL | Kind.OTHER:
            is_text = isinstance(cls, type) and issubclass(cls, str | bytes)
            return FieldCodec(to_raw) if is_text else NOTHING


def _is_kept(tp: Any) -> bool:
    """Return whether values of a type are stored as they are."""
    return tp in SCALARS and SCALARS[tp].codec.encode is None and not is_registered(tp)


def _by_hook(cls: Any, dec_hook: Callable[[type, Any], Any] | None) -> Decoder | None:
    """Return the decoder of a registered type that msgspec knows and calls no hook for."""
    known = cls in _KNOWN_TO_MSGSPEC or is_embedded_class(cls) or hasattr(cls, "_fields")
    if dec_hook is None or not (known or issubclass(cls, Enum)):
        return None

    def decode(raw: Any, reader: Any) -> Any:
        try:
            value = dec_hook(cls, raw)
        except (NotImplementedError, ValueError, TypeError, LookupError, AttributeError):
            return raw  # msgspec reports it
        return value._value_ if isinstance(value, Enum) else value

    return decode


def is_scalar(annotation: Any) -> bool:
    """Return whether an annotation has only scalars, which are read as they are stored."""
    tp, metas = unwrapped(annotation)
    if get_origin(tp) in (Union, types.UnionType):
        return all(map(is_scalar, get_args(tp)))
    return _is_kept(tp) and not any(each.tz is False for each in metas)


# -- unions and containers


def _union(args: tuple[Any, ...], scope: Scope) -> FieldCodec:
    arms = [unwrap(each) for each in args if each not in (type(None), msgspec.UnsetType)]
    if dt.timedelta in arms and (int in arms or float in arms):
        raise DefinitionError(
            "a timedelta is stored as a number, so it cannot share a union with int or float; "
            "wrap one of them in a Struct"
        )
    documents = [each for each in arms if hasattr(get_origin(each) or each, "__bson_decoder__")]
    if len(documents) > 1:
        names = " and ".join(each.__name__ for each in documents)
        raise DefinitionError(
            f"an id does not tell {names} apart; use one field for each, both optional"
        )
    codecs = [compile_codec(each, scope) for each in args if each is not type(None)]
    decode = _first([each.decode for each in codecs if each.decode is not None])
    if len(codecs) == 1:
        return FieldCodec(codecs[0].encode, decode, codecs[0].truncate)
    if any(_is_special(each) for each in codecs) and not any(map(accepts_anything, arms)):
        members = zip([each for each in args if each is not type(None)], codecs, strict=True)
        find = _by_type({class_of(each): codec for each, codec in members})
        return FieldCodec(
            lambda value: (find(type(value)).encode or to_raw)(value),
            decode,
            lambda value, where: (find(type(value)).truncate or truncate)(value, where),
        )
    return FieldCodec(
        to_raw if codecs else None,
        decode,
        truncate if any(each.truncate for each in codecs) else None,
    )


def _is_special(codec: FieldCodec) -> bool:
    """Return whether values are encoded or cut differently from a value of type ``Any``."""
    return codec.encode not in (None, to_raw) or codec.truncate not in (None, truncate)


def _by_type(members: Mapping[Any, FieldCodec]) -> Callable[[type], FieldCodec]:
    """Return the function that finds the member of a union by a value's type, like msgspec."""
    families = {_family(cls): codec for cls, codec in members.items() if isinstance(cls, type)}
    wanted = " or ".join(getattr(each, "__name__", str(each)) for each in members)

    @cache
    def find(tp: type) -> FieldCodec:
        if tp in members:
            return members[tp]
        if is_embedded(tp):
            return FieldCodec(lambda _: _other_class(tp, wanted))
        return families.get(_family(tp), ANYTHING) if not is_registered(tp) else ANYTHING

    return find


def _family(cls: type) -> type:
    if issubclass(cls, str | bytes | bytearray | memoryview):
        return cls
    return next((each for each in (dt.datetime, Mapping, Collection) if issubclass(cls, each)), cls)


def _other_class(tp: type, wanted: str) -> Any:
    # A read would convert it to the wanted class, and drop the fields that only this class has.
    return rejected(f"a {tp.__name__} in place of a {wanted}")


def _first(decoders: list[Decoder]) -> Decoder | None:
    if not decoders:
        return None

    def decode(raw: Any, reader: Any) -> Any:
        if raw is None:
            return None
        for each in decoders:
            if (value := each(raw, reader)) is not raw:
                return value
        return raw

    return decode


def _copied(value: Any) -> Any:
    """Copy a list of scalars: raw data shares no list with the document."""
    return value[:] if type(value) is list else not_of(list, value)


def not_of(cls: type, value: Any) -> Any:
    """Return what is written for a value that is not of the annotated kind; msgspec reports it."""
    return _other_class(type(value), cls.__name__) if is_embedded(type(value)) else to_raw(value)


def _is(value: Any, kinds: Any) -> bool:
    """Return whether a value is of these kinds and no encoder is registered for its type."""
    return isinstance(value, kinds) and not is_registered(type(value))


def _array(cls: type, item: FieldCodec) -> FieldCodec:
    """Compile an array of any length."""
    encode, decode = item.encode or to_raw, item.decode

    def encoded(value: Any) -> Any:
        if type(value) is not list and not _is(value, _ARRAYS):
            return not_of(cls, value)
        raw = [None if each is None else encode(each) for each in value]
        return in_order(raw) if isinstance(value, set | frozenset) else raw

    def decoded(raw: Any, reader: Any) -> Any:
        assert decode is not None
        return [decode(each, reader) for each in raw] if type(raw) is list else raw

    return FieldCodec(
        _copied if cls is list and item.encode is None else encoded,
        decoded if decode is not None else None,
        _truncate_inside([item], lambda cuts: truncate_items(*cuts)),
    )


def _truncate_inside(
    codecs: Collection[FieldCodec], special: Callable[[list[Truncation]], Truncation]
) -> Truncation | None:
    """Return how a container of *codecs* is cut; most are cut like a value of type ``Any``."""
    cuts = [each.truncate for each in codecs]
    if all(each in (None, truncate) for each in cuts):
        return truncate if any(cuts) else None
    return special([each or truncate for each in cuts])


def _fixed(cls: type, codecs: list[FieldCodec]) -> FieldCodec:
    """Compile ``tuple[A, B]`` or a NamedTuple: one codec for each position."""
    encoders = [each.encode or to_raw for each in codecs]
    decoders = [each.decode for each in codecs]

    def encoded(value: Any) -> Any:
        if not _is(value, list | tuple) or len(value) > len(encoders):
            return not_of(cls, value)
        return [
            None if each is None else encode(each)
            for each, encode in zip(value, encoders, strict=False)
        ]

    def decoded(raw: Any, reader: Any) -> Any:
        if type(raw) is not list or len(raw) > len(decoders):
            return raw
        return [
            each if decode is None else decode(each, reader)
            for each, decode in zip(raw, decoders, strict=False)
        ]

    return FieldCodec(
        encoded, decoded if any(decoders) else None, _truncate_inside(codecs, truncate_places)
    )


def _mapping(cls: type, args: tuple[Any, ...], scope: Scope) -> FieldCodec:
    key, value = args if len(args) == 2 else (Any, Any)
    keys = key_codec(key_type(key), scope.dec_hook)
    item = compile_codec(value, scope)
    kind, refused, decode_key, cut_key = keys
    encode, decode = item.encode or to_raw, item.decode

    def copied(value: Any) -> Any:
        """Copy a dict of scalars; only keys that are not plain strings need a conversion."""
        if type(value) is dict:
            for key in value:
                if type(key) is not str:
                    break
            else:
                return value.copy()
        return encoded(value)

    def encoded(value: Any) -> Any:
        if type(value) is not dict and not _is(value, Mapping):
            return not_of(cls, value)
        for key in value:
            if type(key) is not kind and (wrong := refused(key)) is not None:
                return wrong
        raw = {
            key_to_raw(key): None if each is None else encode(each) for key, each in value.items()
        }
        return raw if len(raw) == len(value) else to_raw(value)  # which refuses equal keys

    def decoded(raw: Any, reader: Any) -> Any:
        if type(raw) is not dict:
            return raw
        out = {
            decode_key(k) if decode_key else k: decode(v, reader) if decode else v
            for k, v in raw.items()
        }
        return (
            next((each for each in out if isinstance(each, Rejected)), out) if kind is None else out
        )

    inside = _truncate_inside([item], lambda cuts: truncate_items(*cuts))
    return FieldCodec(
        copied if kind is str and item.encode is None else encoded,
        decoded if decode or decode_key else None,
        inside if cut_key is None else truncate_dict(cut_key, item.truncate),
    )


def _typed_dict(cls: type, codecs: dict[str, FieldCodec]) -> FieldCodec:
    encoders = {name: each.encode or to_raw for name, each in codecs.items()}
    decoders = [(name, each.decode) for name, each in codecs.items() if each.decode is not None]
    undeclared = f"other keys than those of {cls.__name__}: {', '.join(codecs)}"

    def encoded(value: Any) -> Any:
        if not _is(value, Mapping):
            return not_of(cls, value)
        if not value.keys() <= encoders.keys():  # a read would drop them
            return rejected(undeclared)
        return {
            name: None if each is None else encoders[name](each) for name, each in value.items()
        }

    def decoded(raw: Any, reader: Any) -> Any:
        return decoded_fields(raw, decoders, reader) if type(raw) is dict else raw

    return FieldCodec(
        encoded,
        decoded if decoders else None,
        _truncate_inside(
            codecs.values(), lambda cuts: truncate_keys(dict(zip(codecs, cuts, strict=True)))
        ),
    )


def decoded_fields(
    raw: dict[str, Any], decoders: Collection[tuple[str, Decoder]], reader: Any
) -> dict[str, Any]:
    """Return *raw*, or a copy of it in which the named fields are decoded."""
    out = None
    for name, decode in decoders:
        value = raw.get(name)
        if value is None:
            continue
        decoded = decode(value, reader)
        if decoded is not value:
            if out is None:
                out = raw.copy()
            out[name] = decoded
    return raw if out is None else out

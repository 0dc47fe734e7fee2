"""What one annotation asks of the codec, compiled once.

Most annotations ask nothing: bson and msgspec agree on ``str``, ``int``, ``datetime``, ``UUID`` and
their like, so a flat class has an empty plan and pays nothing. For the rest a :class:`FieldCodec` says

- ``encode``: how a value becomes raw data (None: it goes out as it is),
- ``decode``: how raw data becomes something that :func:`msgspec.convert` accepts for the annotation
  (None: it is accepted as it is). A decoder takes the raw value and the reader, never changes what
  it is given, and hands back the same object where the value is not of its kind: msgspec then
  judges it;
- ``trim``: how a value is cut to what BSON keeps, milliseconds (None: nothing to cut).
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false
# What is read from BSON is of any type; this module tells the types apart.

import dataclasses
import datetime as dt
import types
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    ReadOnly,
    Required,
    TypeAliasType,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec
from bson import ObjectId

from mongospec_core.codec.codec_options import (
    MILLISECOND,
    Encoder,
    is_registered,
    key_to_raw,
    to_raw,
)
from mongospec_core.codec.truncation import Trim, trim, trim_naive
from mongospec_core.codec.types import (
    DECODERS,
    Decoder,
    decode_any,
    member,
    wall_clock,
    without_zone,
)
from mongospec_core.errors import DefinitionError


class FieldCodec(NamedTuple):
    """What the codec does with the values of one annotation."""

    encode: Encoder | None = None
    decode: Decoder | None = None
    trim: Trim | None = None


NOTHING = FieldCodec()
_WRAPPERS = (Required, NotRequired, ReadOnly, Final)
_SCALARS = (str, int, float, bool, bytes, type(None))


def shape_of(annotation: Any, nested: Callable[[Any], FieldCodec]) -> FieldCodec:
    """Compile one annotation.

    :param nested: gives the shape of a Struct or dataclass found in it.
    :raises DefinitionError: values of the annotation could not be told apart in the database.
    """
    tp, metas = unwrapped(annotation)
    origin = get_origin(tp)
    if origin in (Union, types.UnionType):
        return _union(get_args(tp), nested)
    if origin is Literal:
        return NOTHING
    cls = origin or tp
    if tp in (Any, object) or isinstance(tp, TypeVar) or not isinstance(cls, type):
        return FieldCodec(to_raw, decode_any, trim)
    if cls in _SCALARS:
        return NOTHING
    if cls is dt.datetime:
        return (
            FieldCodec(wall_clock, without_zone, trim_naive)
            if any(each.tz is False for each in metas)
            else FieldCodec(None, None, trim)
        )
    if cls in DECODERS:
        return FieldCodec(to_raw, DECODERS[cls], trim if cls is dt.timedelta else None)
    return _class_shape(cls, tp, nested)


def _class_shape(cls: type, tp: Any, nested: Callable[[Any], FieldCodec]) -> FieldCodec:
    if (own := getattr(cls, "__bson_decoder__", None)) is not None:
        return FieldCodec(to_raw, own())
    if is_registered(cls):
        return FieldCodec(to_raw)
    if issubclass(cls, Enum):
        return FieldCodec(member if all(type(each.value) in _SCALARS for each in cls) else to_raw)
    if issubclass(cls, msgspec.Struct) or dataclasses.is_dataclass(cls):
        return nested(tp)
    if is_typeddict(cls):
        return _typed_dict(tp, nested)
    if issubclass(cls, Mapping):
        return _mapping(get_args(tp), nested)
    if issubclass(cls, Collection):
        return _collection(cls, get_args(tp), nested)
    return NOTHING


def accepts_anything(annotation: Any) -> bool:
    """Whether an annotation lets any value in."""
    return annotation in (Any, object) or isinstance(annotation, TypeVar)


def is_scalar(annotation: Any) -> bool:
    """Whether an annotation has nothing but scalars, which are read as they are stored."""
    tp, metas = unwrapped(annotation)
    if get_origin(tp) in (Union, types.UnionType):
        return all(map(is_scalar, get_args(tp)))
    return tp in (*_SCALARS, dt.datetime, ObjectId) and not any(each.tz is False for each in metas)


def type_args(annotation: Any) -> tuple[Any, ...]:
    """The annotations that stand directly inside of an annotation."""
    tp = unwrap(annotation)
    if get_origin(tp) is Literal:
        return ()
    if is_typeddict(tp):
        return tuple(get_type_hints(tp).values())
    return get_args(tp)


def unwrap(annotation: Any) -> Any:
    """The annotation without aliases and qualifiers (``Annotated``, ``Required``, ``NewType``)."""
    return unwrapped(annotation)[0]


def unwrapped(tp: Any) -> tuple[Any, tuple[msgspec.Meta, ...]]:
    """The annotation without aliases and qualifiers, and msgspec's constraints around it."""
    metas: tuple[msgspec.Meta, ...] = ()
    while True:
        if isinstance(tp, TypeAliasType):
            tp = tp.__value__
        elif isinstance(tp, NewType):
            tp = tp.__supertype__
        elif isinstance(get_origin(tp), TypeAliasType):
            tp = get_origin(tp).__value__[get_args(tp)]
        elif get_origin(tp) is Annotated:
            tp, *around = get_args(tp)
            metas += tuple(each for each in around if isinstance(each, msgspec.Meta))
        elif get_origin(tp) in _WRAPPERS:
            (tp,) = get_args(tp)
        else:
            return tp, metas


# -- unions and containers


def _union(args: tuple[Any, ...], nested: Callable[[Any], FieldCodec]) -> FieldCodec:
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
    shapes = [shape_of(each, nested) for each in args if each is not type(None)]
    decoders = [each.decode for each in shapes if each.decode is not None]
    trims = [each.trim for each in shapes if each.trim is not None]
    return FieldCodec(
        to_raw if len(shapes) > 1 else shapes[0].encode if shapes else None,
        _first(decoders) if decoders else None,
        trims[0] if trims else None,
    )


def _first(decoders: list[Decoder]) -> Decoder:
    def decode(raw: Any, reader: Any) -> Any:
        if raw is None:
            return None
        for each in decoders:
            if (value := each(raw, reader)) is not raw:
                return value
        return raw

    return decode


def _copied(value: Any) -> Any:
    """A list of scalars needs no look at them, but raw data shares no list with the document."""
    return value[:] if type(value) is list else to_raw(value)


def _copied_dict(value: Any) -> Any:
    """The same for a dict of scalars, if its keys are strings as they are."""
    if type(value) is not dict:
        return to_raw(value)
    for key in value:
        if type(key) is not str:
            return to_raw(value)
    return value.copy()


def _each(cls: type, encode: Encoder | None) -> Encoder:
    """Write the items of a list or tuple, or the values of a dict, each by its own annotation."""
    # Naive datetimes in containers were given UTC by the cut: wall_clock would refuse them.
    if encode is None or encode in (to_raw, wall_clock) or cls not in (list, tuple, dict):
        return to_raw

    def encoded(value: Any) -> Any:
        if type(value) is not cls:
            return to_raw(value)
        if isinstance(value, dict):
            raw = {
                key_to_raw(key): None if each is None else encode(each)
                for key, each in value.items()
            }
            return raw if len(raw) == len(value) else to_raw(value)  # which refuses equal keys
        return [None if each is None else encode(each) for each in value]

    return encoded


def _collection(
    cls: type, args: tuple[Any, ...], nested: Callable[[Any], FieldCodec]
) -> FieldCodec:
    if issubclass(cls, tuple) and not (len(args) == 2 and args[1] is ...):
        return _fixed(cls, args, nested)
    item = shape_of(args[0] if args else Any, nested)
    leaves = cls is list and item.encode is None
    return FieldCodec(
        _copied if leaves else _each(cls, item.encode),
        _items(item.decode) if item.decode is not None else None,
        trim if item.trim is not None else None,
    )


def _items(decode: Decoder) -> Decoder:
    def decoded(raw: Any, reader: Any) -> Any:
        return [decode(each, reader) for each in raw] if type(raw) is list else raw

    return decoded


def _fixed(cls: type, args: tuple[Any, ...], nested: Callable[[Any], FieldCodec]) -> FieldCodec:
    """``tuple[A, B]`` and NamedTuple: one shape for each place."""
    if hasattr(cls, "_fields"):
        args = tuple(get_type_hints(cls, include_extras=True).values())
    shapes = [shape_of(each, nested) for each in args]
    decoders = [each.decode for each in shapes]

    def decoded(raw: Any, reader: Any) -> Any:
        if type(raw) is not list or len(raw) != len(decoders):
            return raw
        return [
            each if decode is None else decode(each, reader)
            for each, decode in zip(raw, decoders, strict=True)
        ]

    return FieldCodec(
        to_raw,
        decoded if any(decoders) else None,
        trim if any(each.trim for each in shapes) else None,
    )


def _mapping(args: tuple[Any, ...], nested: Callable[[Any], FieldCodec]) -> FieldCodec:
    key, value = args if len(args) == 2 else (Any, Any)
    item = shape_of(value, nested)
    decode_key = _key_decoder(unwrap(key))
    decode = item.decode

    def decoded(raw: Any, reader: Any) -> Any:
        if type(raw) is not dict:
            return raw
        return {
            decode_key(k) if decode_key else k: decode(v, reader) if decode else v
            for k, v in raw.items()
        }

    return FieldCodec(
        _copied_dict if item.encode is None else _each(dict, item.encode),
        decoded if decode or decode_key else None,
        trim if item.trim is not None else None,
    )


def _key_decoder(tp: Any) -> Callable[[str], Any] | None:
    """Keys that msgspec does not read from strings by itself (``UUID``, ``date``, ``bool`` …)."""
    if tp in (str, int, float, Any) or (isinstance(tp, type) and issubclass(tp, Enum)):
        return None
    if not isinstance(tp, type):
        return None

    def decode(key: str) -> Any:
        try:
            if tp is dt.timedelta:  # msgspec would read seconds
                return int(key) * MILLISECOND
            return msgspec.convert(key, tp, strict=False, dec_hook=_from_text)
        except ValueError:
            return key  # msgspec names it in the whole document's error

    return decode


def _from_text(tp: type, text: Any) -> Any:
    return tp(text)  # ObjectId("65f0…") and its like


def _typed_dict(tp: Any, nested: Callable[[Any], FieldCodec]) -> FieldCodec:
    hints = get_type_hints(get_origin(tp) or tp, include_extras=True)
    shapes = {name: shape_of(each, nested) for name, each in hints.items()}
    decoders = [(name, each.decode) for name, each in shapes.items() if each.decode is not None]

    def decoded(raw: Any, reader: Any) -> Any:
        return decoded_fields(raw, decoders, reader) if type(raw) is dict else raw

    return FieldCodec(
        to_raw,
        decoded if decoders else None,
        trim if any(each.trim for each in shapes.values()) else None,
    )


def decoded_fields(
    raw: dict[str, Any], decoders: Collection[tuple[str, Decoder]], reader: Any
) -> dict[str, Any]:
    """*raw*, or a copy of it in which the named fields are decoded."""
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

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false
# What is read from BSON is of any type; this module tells the types apart.
"""What stands inside of a class: its fields' annotations, and those of the classes in them."""

import dataclasses
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, get_origin, get_type_hints

import msgspec
from bson import Decimal128
from msgspec.structs import FieldInfo

from mongospec_core.codec.annotations import fields_of
from mongospec_core.codec.shape import bare, is_open, parts_of


def declared_fields(tp: Any) -> tuple[FieldInfo, ...]:
    """The fields of a Struct class or a dataclass, every annotation resolved."""
    cls = get_origin(tp) or tp
    if issubclass(cls, msgspec.Struct):
        return fields_of(tp)
    hints = get_type_hints(cls, include_extras=True)
    names = [each.name for each in dataclasses.fields(cls)]
    return tuple(FieldInfo(name, name, hints[name]) for name in names)


def is_fresh(default_factory: Any) -> bool:
    """Whether a default is made anew each time, by a function of the user's."""
    return default_factory not in (msgspec.NODEFAULT, dataclasses.MISSING, list, dict, set)


def has_fresh_inside(annotation: Any) -> bool:
    """Whether a class inside of the annotation has a default that is made anew each time."""
    if hasattr(bare(annotation), "__bson_decoder__"):
        return False  # an id is stored there
    return any(is_fresh(each) for part in reachable(annotation) for each in _factories(part))


def _factories(annotation: Any) -> Iterable[Any]:
    """The default factories of a Struct's or a dataclass's fields."""
    cls = get_origin(annotation) or annotation
    if not isinstance(cls, type) or hasattr(cls, "__bson_decoder__"):
        return ()
    if issubclass(cls, msgspec.Struct):
        return [each.default_factory for each in fields_of(annotation)]
    return [each.default_factory for each in getattr(cls, "__dataclass_fields__", {}).values()]


def holds_decimals(annotation: Any) -> bool:
    """Whether a Decimal128 may stand at the annotation."""
    return is_open(annotation) or annotation in (Decimal, Decimal128, dict, list)


def reachable(tp: Any) -> Iterable[Any]:
    """Every annotation in a class and in the classes inside of it, once."""
    seen: set[Any] = set()
    todo: list[Any] = [tp]
    while todo:
        annotation = bare(todo.pop())
        try:
            if annotation in seen:
                continue
            seen.add(annotation)
        except TypeError:  # a Literal of something unhashable
            continue
        yield annotation
        todo.extend(parts_of(annotation))
        cls = get_origin(annotation) or annotation
        if isinstance(cls, type) and (annotation is tp or not hasattr(cls, "__bson_decoder__")):
            todo.extend(_inside(annotation, cls))


def _inside(tp: Any, cls: type) -> Iterable[Any]:
    """The annotations of the fields of a Struct, a dataclass or a NamedTuple."""
    if issubclass(cls, msgspec.Struct) or dataclasses.is_dataclass(cls):
        return [each.type for each in declared_fields(tp)]
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return get_type_hints(cls, include_extras=True).values()
    return ()

"""Annotations as types: what msgspec resolves itself, and names of document classes besides.

Document classes refer to each other, often by a name that its module cannot see at run time (a
class defined later inside a function, an import under ``if TYPE_CHECKING``). Every document class
is therefore remembered by name; what a module cannot resolve is looked up here.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false
# What is read from BSON is of any type; this module tells the types apart.

import dataclasses
import sys
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, ForwardRef, get_origin, get_type_hints
from weakref import WeakSet

import msgspec
from bson import Decimal128
from msgspec.structs import FieldInfo

from mongospec_core.codec.field_codec import accepts_anything, type_args, unwrap
from mongospec_core.errors import DefinitionError

_named: dict[str, WeakSet[type]] = {}


def remember(cls: type) -> None:
    """Let annotations elsewhere name *cls*."""
    _named.setdefault(cls.__name__, WeakSet()).add(cls)


def fields_of(tp: Any) -> tuple[FieldInfo, ...]:
    """The fields of a Struct class (or of ``Box[int]``), every annotation resolved.

    :raises DefinitionError: an annotation cannot be resolved, or msgspec does not support it.
    """
    cls = get_origin(tp) or tp
    try:
        return msgspec.structs.fields(tp)
    except NameError:
        _resolve_by_name(cls)
    try:
        return msgspec.structs.fields(tp)
    except NameError as error:
        message = f"{cls.__name__}: an annotation names {error.name!r}, which cannot be resolved"
        raise DefinitionError(f"{message}; import it where the class is defined") from error


def _resolve_by_name(cls: type) -> None:
    """Put types in place of the annotations of *cls* and its bases that are still strings."""
    for base in cls.__mro__:
        # Its own ones, as they stand: they are about to be replaced.
        annotations = base.__dict__.get("__annotations__")  # noqa: RUF063
        if not annotations:
            continue
        module = vars(sys.modules[base.__module__])
        names = {n: found for n in _named if (found := _only(n, base.__module__)) is not None}
        own = {parameter.__name__: parameter for parameter in base.__type_params__}
        scope = names | module | own
        base.__annotations__ = {
            field: _evaluated(annotation, scope, base, field)
            for field, annotation in annotations.items()
        }


def _only(name: str, module: str) -> type | None:
    """The document class of that name: the module's own where several modules have one."""
    found = list(_named.get(name, ()))
    near = [cls for cls in found if cls.__module__ == module] or found
    return near[-1] if len(near) == 1 or (near and near is not found) else None


def _evaluated(annotation: Any, scope: dict[str, Any], cls: type, field: str) -> Any:
    text = annotation.__forward_arg__ if isinstance(annotation, ForwardRef) else annotation
    if not isinstance(text, str) or is_classvar(text):
        return annotation
    try:
        # What typing.get_type_hints does as well; the text is the class body's own.
        return eval(text, scope)  # noqa: S307
    except NameError as error:
        same = len(_named.get(error.name or "", ()))
        why = f"{same} document classes have that name" if same else "no such name is known"
        raise DefinitionError(
            f"{cls.__name__}.{field}: the annotation {text!r} names {error.name!r}, but {why}; "
            f"import the class in {cls.__module__}"
        ) from error


def is_classvar(annotation: Any) -> bool:
    """Whether an annotation, maybe still a string, is ``ClassVar``."""
    if isinstance(annotation, str):
        return annotation.startswith(("ClassVar", "typing.ClassVar", "t.ClassVar"))
    return getattr(get_origin(annotation) or annotation, "_name", None) == "ClassVar"


def declared_fields(tp: Any) -> tuple[FieldInfo, ...]:
    """The fields of a Struct class or a dataclass, every annotation resolved."""
    cls = get_origin(tp) or tp
    if issubclass(cls, msgspec.Struct):
        return fields_of(tp)
    hints = get_type_hints(cls, include_extras=True)
    names = [each.name for each in dataclasses.fields(cls)]
    return tuple(FieldInfo(name, name, hints[name]) for name in names)


def has_default_factory(default_factory: Any) -> bool:
    """Whether a default is made anew each time, by a function of the user's."""
    return default_factory not in (msgspec.NODEFAULT, dataclasses.MISSING, list, dict, set)


def has_fresh_inside(annotation: Any) -> bool:
    """Whether a class inside of the annotation has a default that is made anew each time."""
    if hasattr(unwrap(annotation), "__bson_decoder__"):
        return False  # an id is stored there
    return any(
        has_default_factory(each) for part in iter_types(annotation) for each in _factories(part)
    )


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
    return accepts_anything(annotation) or annotation in (Decimal, Decimal128, dict, list)


def iter_types(tp: Any) -> Iterable[Any]:
    """Every annotation in a class and in the classes inside of it, once."""
    seen: set[Any] = set()
    todo: list[Any] = [tp]
    while todo:
        annotation = unwrap(todo.pop())
        try:
            if annotation in seen:
                continue
            seen.add(annotation)
        except TypeError:  # a Literal of something unhashable
            continue
        yield annotation
        todo.extend(type_args(annotation))
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

"""Annotations: their names resolved to types, aliases unwrapped, and the types in them found.

Document classes refer to each other, often by a name that its module cannot see at run time (a
class defined later inside a function, an import under ``if TYPE_CHECKING``). Every document class
is therefore remembered by name; names that a module cannot resolve are looked up here.
"""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import dataclasses
import sys
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from inspect import get_annotations
from types import MappingProxyType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    NewType,
    NotRequired,
    ReadOnly,
    Required,
    TypeAliasType,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)
from weakref import WeakSet

import msgspec
from bson import Decimal128
from msgspec.structs import FieldInfo

from mongospec_core.codec.hints import hints_of
from mongospec_core.errors import DefinitionError

if sys.version_info >= (3, 14):
    from annotationlib import (
        Format,
        call_annotate_function,
        get_annotate_from_class_namespace,
    )

_WRAPPERS = (Required, NotRequired, ReadOnly, Final)
_named: dict[str, WeakSet[type]] = {}


def remember(cls: type) -> None:
    """Remember *cls*, so that annotations in other modules can name it."""
    _named.setdefault(cls.__name__, WeakSet()).add(cls)


def annotations_in(namespace: dict[str, Any]) -> dict[str, Any]:
    """Return the annotations of a class body that has just run.

    From Python 3.14 on they are a function. It is called now, before the fields are attributes of
    the class and hide what they are named after (``date: date``); a name that is unknown as yet
    stays a forward reference.
    """
    annotations: dict[str, Any] | None = namespace.get("__annotations__")
    if sys.version_info >= (3, 14) and annotations is None:
        annotate = get_annotate_from_class_namespace(namespace)
        if annotate is not None:
            annotations = call_annotate_function(annotate, Format.FORWARDREF)
    return annotations or {}


def own_annotations(cls: type) -> dict[str, Any]:
    """Return the annotations of *cls* without those of its bases, as far as their names are known."""
    if sys.version_info >= (3, 14):
        return get_annotations(cls, format=Format.FORWARDREF)
    else:
        return get_annotations(cls)


def fields_of(tp: Any) -> tuple[FieldInfo, ...]:
    """Return the fields of a Struct class (or of ``Box[int]``), every annotation resolved.

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


def resolve_names(classes: Collection[type]) -> None:
    """Resolve the names in *classes* and in the Structs inside them, before any is compiled.

    msgspec looks through all classes that refer to each other, so a class that is compiled late
    must not be resolved late. If several document classes have one name, those in *classes* win.

    :raises DefinitionError: a name is not known.
    """
    seen: set[Any] = set()
    todo: list[Any] = list(classes)
    while todo:
        annotation = unwrap(todo.pop())
        todo.extend(type_args(annotation))
        cls = get_origin(annotation) or annotation
        if not (isinstance(cls, type) and issubclass(cls, msgspec.Struct)) or cls in seen:
            continue
        seen.add(cls)
        try:
            msgspec.structs.fields(cls)
        except NameError:
            _resolve_by_name(cls, classes)
        except TypeError:
            continue  # a type that msgspec does not support is refused with its reason later
        todo.extend(each.type for each in fields_of(cls))


def _resolve_by_name(cls: type, among: Collection[type] = ()) -> None:
    """Replace annotations of *cls* and its bases with types, if they name unknown classes."""
    for base in cls.__mro__:
        if annotations := own_annotations(base):
            names = {n: found for n in _named if (found := _nearest(n, base, among)) is not None}
            base.__annotations__ = {
                field: _evaluated(annotation, base, field, names)
                for field, annotation in annotations.items()
            }


def _nearest(name: str, cls: type, among: Collection[type]) -> type | None:
    """Return the document class of that name, if one is nearer than the others.

    A class that is bound together with *cls* is nearest, then one defined in the same function,
    then one in the same module.
    """

    def nearness(other: type) -> tuple[bool, bool, bool]:
        module = other.__module__ == cls.__module__
        return other in among, module and _scope(other) == _scope(cls), module

    found = sorted(_named.get(name, ()), key=nearness)
    if len(found) > 1 and nearness(found[-1]) == nearness(found[-2]):
        return None
    return found[-1] if found else None


def _scope(cls: type) -> str:
    return cls.__qualname__.rpartition(".")[0]


def _evaluated(annotation: Any, cls: type, field: str, names: Mapping[str, Any]) -> Any:
    if is_classvar(annotation):
        return ClassVar  # not a field: its type is not needed, and its name may be unknown
    try:
        return evaluated(annotation, cls, names)
    except NameError as error:
        same = len(_named.get(error.name or "", ()))
        why = f"{same} document classes have that name" if same else "no such name is known"
        raise DefinitionError(
            f"{cls.__name__}.{field}: the annotation names {error.name!r}, but {why}; "
            f"import the class in {cls.__module__}, or name it in document_types"
        ) from error


def evaluated(annotation: Any, cls: type, names: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Return an annotation of *cls* with its names resolved to types.

    :param names: further names, besides those in the modules of the class and its mixins.
    :raises NameError: a name is not known.
    """
    scope = dict(names)
    mixins = [base for base in reversed(cls.__mro__) if "__mixin_fields__" in base.__dict__]
    for base in (*mixins, cls):
        scope |= vars(sys.modules[base.__module__])
    scope |= {parameter.__name__: parameter for parameter in cls.__type_params__}
    holder = type("", (), {"__annotations__": {"it": annotation}})
    return get_type_hints(holder, scope, include_extras=True)["it"]


def is_classvar(annotation: Any) -> bool:
    """Return whether an annotation, maybe still a string, is ``ClassVar``."""
    if isinstance(annotation, str):
        return annotation.startswith(("ClassVar", "typing.ClassVar", "t.ClassVar"))
    return getattr(get_origin(annotation) or annotation, "_name", None) == "ClassVar"


def declared_fields(tp: Any) -> tuple[FieldInfo, ...]:
    """Return the fields of a Struct, dataclass, NamedTuple or TypedDict, every annotation resolved.

    The fields of ``tuple[A, B]`` are its positions. Other types have none.
    """
    cls = class_of(tp)
    if not isinstance(cls, type):
        return ()
    if issubclass(cls, msgspec.Struct):
        return fields_of(tp)
    if dataclasses.is_dataclass(cls):
        hints, missing = hints_of(tp), dataclasses.MISSING
        return tuple(
            FieldInfo(
                each.name,
                each.name,
                hints[each.name],
                msgspec.NODEFAULT if each.default is missing else each.default,
                msgspec.NODEFAULT if each.default_factory is missing else each.default_factory,
            )
            for each in dataclasses.fields(cls)
        )
    names: Iterable[str]
    other: Any = cls
    if is_typeddict(cls):
        names, defaults = hints_of(tp), dict.fromkeys(other.__optional_keys__, msgspec.UNSET)
    elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
        names, defaults = other._fields, other._field_defaults
    elif issubclass(cls, tuple) and get_args(tp)[-1:] != (...,):
        return tuple(FieldInfo(str(n), str(n), each) for n, each in enumerate(get_args(tp)))
    else:
        return ()
    hints = hints_of(tp)
    return tuple(
        FieldInfo(
            name,
            name,
            _unqualified(hints.get(name, Any)),
            defaults.get(name, msgspec.NODEFAULT),
        )
        for name in names
    )


def _unqualified(tp: Any) -> Any:
    """Return an annotation without the qualifiers of TypedDict fields."""
    while get_origin(tp) in _WRAPPERS:
        (tp,) = get_args(tp)
    return tp


def tag_of(cls: Any) -> tuple[str, str | int] | None:
    """Return the name and the value of a Struct class's tag; None if it has none."""
    config = getattr(cls, "__struct_config__", None)
    tag = getattr(config, "tag", None)  # of Struct itself the config is a descriptor
    return None if config is None or tag is None else (config.tag_field, tag)


def stored_fields(tp: Any) -> tuple[FieldInfo, ...]:
    """Return the fields of a class, and before them the tag of its documents."""
    tag = tag_of(get_origin(tp) or tp)
    fields = declared_fields(tp)
    return fields if tag is None else (FieldInfo(tag[0], tag[0], Literal[tag[1]]), *fields)


# -- what an annotation has in it


def accepts_anything(annotation: Any) -> bool:
    """Return whether an annotation accepts any value."""
    return annotation in (Any, object) or isinstance(annotation, TypeVar)


def type_args(annotation: Any) -> tuple[Any, ...]:
    """Return the annotations directly inside an annotation."""
    tp = unwrap(annotation)
    if get_origin(tp) is Literal:
        return ()
    if is_typeddict(get_origin(tp) or tp):
        return tuple(hints_of(tp).values())
    return get_args(tp)


def unwrap(annotation: Any) -> Any:
    """Return the annotation without aliases and qualifiers (``Annotated``, ``NewType``, ...)."""
    return unwrapped(annotation)[0]


def unwrapped(tp: Any) -> tuple[Any, tuple[msgspec.Meta, ...]]:
    """Return the annotation without aliases and qualifiers, and msgspec's constraints around it."""
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


def class_of(annotation: Any) -> Any:
    """Return the class of an annotation, without its parameters."""
    tp = unwrap(annotation)
    return get_origin(tp) or tp


def has_default_factory(field: FieldInfo) -> bool:
    """Return whether the field has a ``default_factory`` of the user's."""
    return field.default_factory not in (msgspec.NODEFAULT, list, dict, set)


def has_fresh_inside(annotation: Any) -> bool:
    """Return whether a class inside the annotation has a field with a ``default_factory``."""
    if hasattr(unwrap(annotation), "__bson_decoder__"):
        return False  # an id is stored there
    return any(
        has_default_factory(field)
        for part in iter_types(annotation)
        if not hasattr(class_of(part), "__bson_decoder__")
        for field in declared_fields(part)
    )


def holds_decimals(annotation: Any) -> bool:
    """Return whether a value of the annotation may be a Decimal128."""
    return accepts_anything(annotation) or annotation in (Decimal, Decimal128, dict, list)


def iter_types(tp: Any) -> Iterable[Any]:
    """Return every annotation in a class and in the classes inside it, once."""
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
        if annotation is tp or not hasattr(class_of(annotation), "__bson_decoder__"):
            todo.extend(each.type for each in declared_fields(annotation))


def names_in(tp: Any) -> set[Any]:
    """Return the types that the fields of a class name, also in containers; not nested classes'."""
    found: set[Any] = set()
    todo = [each.type for each in declared_fields(tp)]
    while todo:
        annotation = unwrap(todo.pop())
        if isinstance(annotation, type):
            found.add(annotation)
        todo.extend(type_args(annotation))
    return found

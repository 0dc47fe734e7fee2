"""References in a class, and the documents that can be reached by them."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import dataclasses
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import (
    Any,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec
from msgspec.structs import force_setattr

from mongospec_core import OptionError
from mongospec_core.extension import (
    DocumentBase,
    Operation,
    Plan,
    class_cache,
    iter_types,
    plan_of,
    unwrap,
)
from mongospec_refs.unresolved import is_resolved

READS = ("read_preference", "read_concern", "comment")
WRITES = ("write_concern", "bypass_document_validation", "comment")


def inherited_options(names: tuple[str, ...], call: Operation) -> Mapping[str, Any]:
    """Return the options among *names* that *call* was given."""
    return {name: call.options[name] for name in names if name in call.options}


class Reference(msgspec.Struct, frozen=True):
    """One reference in an instance: its path, its annotated class, and the value there."""

    path: str
    target: type[Any] | None
    document: Any


type Walk = Callable[[Any, str, list[Reference]], None]
"""Adds the references in a value at a path to a list."""


def references_in(holder: Any) -> list[Reference]:
    """Return the references of a document or another Struct, in the order of its fields."""
    found: list[Reference] = []
    _nested(holder, "", found)
    return found


@class_cache
def has_references(cls: type[Any]) -> bool:
    """Return whether instances of a class may hold references."""
    return bool(_walks_of(cls))


def any_has_references(plan: Plan[Any]) -> bool:
    """Return whether documents of a class, or of its family's members, may hold references."""
    return any(map(has_references, plan.members or (plan.cls,)))


def targets_of(cls: type[Any]) -> dict[type[Any], str]:
    """Return the document classes that a class refers to, each with the first field that does."""
    targets: dict[type[Any], str] = {}
    for field in plan_of(cls).fields:
        for each in _reachable(field.type):
            if _is_document(each):
                targets.setdefault(get_origin(each) or each, field.name)
    return targets


def ambiguous_in(cls: type[Any]) -> tuple[str, type[Any], Any] | None:
    """Return a field, document class and other type of a union that an id cannot tell apart."""
    for field in plan_of(cls).fields:
        for each in _reachable(field.type):
            if get_origin(each) not in (Union, types.UnionType):
                continue
            arms = [unwrap(arm) for arm in get_args(each)]
            for target in filter(_is_document, arms):
                for arm in _id_types(get_origin(target) or target).intersection(arms):
                    return field.name, target, arm
    return None


def _id_types(cls: type[Any]) -> set[Any]:
    annotation = next(unwrap(each.type) for each in plan_of(cls).fields if each.name == "_id")
    return {unwrap(each) for each in (annotation, *get_args(annotation))} - {type(None)}


@class_cache
def refuse_projection_into_references(cls: type[Any], projection: type[msgspec.Struct]) -> None:
    """Refuse to project fields of a reference, which is stored as an id.

    :raises OptionError: a field of *projection* is a Struct, and in *cls* it is a reference.
    """
    stored = {each.encode_name: each for each in plan_of(cls).fields}
    for field in plan_of(projection).fields:
        parts = {get_origin(each) or each for each in _reachable(field.type)}
        structs = [
            each for each in parts if isinstance(each, type) and issubclass(each, msgspec.Struct)
        ]
        if field.encode_name not in stored or not structs or any(map(_is_document, structs)):
            continue
        for each in _reachable(stored[field.encode_name].type):
            target = get_origin(each) or each
            if isinstance(target, type) and issubclass(target, msgspec.Struct):
                if _is_document(target):
                    raise OptionError(
                        f"{projection.__name__}.{field.name}: {cls.__name__}.{field.encode_name} is "
                        f"a reference, stored as the _id of a {target.__name__}, so a projection "
                        f"cannot take fields of it; annotate it as {target.__name__} or as its id, "
                        f"or use aggregate() with $lookup"
                    )
                break  # a nested Struct with references of its own


# -- compiling


@class_cache
def _walks_of(cls: type[Any]) -> tuple[tuple[str, str, Walk], ...]:
    """Return attribute, stored name and walk of the fields that may hold references."""
    found = [(each, _walk_of(each.type)) for each in plan_of(cls).fields]
    return tuple((field.name, field.encode_name, walk) for field, walk in found if walk is not None)


def reference_fields(cls: type[Any]) -> list[str]:
    """Return the stored names of the fields that may hold references."""
    return [name for _, name, _ in _walks_of(cls)]


def _walk_of(annotation: Any, *, strict: bool = True) -> Walk | None:
    tp = unwrap(annotation)
    cls = get_origin(tp) or tp
    if cls in (Union, types.UnionType):
        return _union(get_args(tp))
    if isinstance(tp, TypeVar):
        return _anything
    if not isinstance(cls, type):
        return None
    if _is_document(cls):
        return _document(cls, strict=strict)
    if not any(_is_document(each) or isinstance(each, TypeVar) for each in _reachable(tp)):
        return None
    if issubclass(cls, msgspec.Struct) or dataclasses.is_dataclass(cls):
        return _nested
    if is_typeddict(cls):
        hints = get_type_hints(cls, include_extras=True)
        return _keys({name: _walk_of(each) for name, each in hints.items()})
    if issubclass(cls, Mapping):
        return _values(_walk_of(get_args(tp)[1]))
    if issubclass(cls, tuple) and ... not in get_args(tp):
        places = get_type_hints(cls).values() if hasattr(cls, "_fields") else get_args(tp)
        return _places([_walk_of(each) for each in places])
    return _items(_walk_of(get_args(tp)[0]))


def _is_document(tp: Any) -> bool:
    cls = get_origin(tp) or tp
    return isinstance(cls, type) and issubclass(cls, DocumentBase)


def _reachable(annotation: Any) -> Iterable[Any]:
    """Return every annotation in an annotation, through nested Structs but not documents."""
    return iter_types(list[annotation])  # of a document itself, it would return the fields


# -- one walk for each shape


def _document(cls: type[Any], *, strict: bool) -> Walk:
    def walk(value: Any, path: str, found: list[Reference]) -> None:
        if (strict and value is not msgspec.UNSET) or isinstance(value, DocumentBase):
            found.append(Reference(path, cls, value))

    return walk


def _union(arms: tuple[Any, ...]) -> Walk | None:
    some = [each for each in arms if each not in (type(None), msgspec.UnsetType)]
    strict = len(some) == 1
    walks = [found for each in some if (found := _walk_of(each, strict=strict)) is not None]
    if not walks:
        return None

    def walk(value: Any, path: str, found: list[Reference]) -> None:
        if value is not None:
            for each in walks:
                each(value, path, found)

    return walk


def _items(item: Walk | None) -> Walk | None:
    if item is None:
        return None

    def walk(value: Any, path: str, found: list[Reference]) -> None:
        if type(value) is list or (
            isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)
        ):
            for place, each in enumerate(value):
                item(each, f"{path}[{place}]", found)

    return walk


def _places(items: list[Walk | None]) -> Walk:
    def walk(value: Any, path: str, found: list[Reference]) -> None:
        if isinstance(value, list | tuple):
            for place, (each, item) in enumerate(zip(value, items, strict=False)):
                if item is not None:
                    item(each, f"{path}[{place}]", found)

    return walk


def _values(item: Walk | None) -> Walk | None:
    if item is None:
        return None

    def walk(value: Any, path: str, found: list[Reference]) -> None:
        if isinstance(value, Mapping):
            for key, each in value.items():
                item(each, f"{path}.{key}", found)

    return walk


def _keys(items: dict[str, Walk | None]) -> Walk:
    def walk(value: Any, path: str, found: list[Reference]) -> None:
        if isinstance(value, Mapping):
            for key, item in items.items():
                if item is not None and key in value:
                    item(value[key], f"{path}.{key}", found)

    return walk


def _nested(value: Any, path: str, found: list[Reference]) -> None:
    if not isinstance(value, msgspec.Struct) and not dataclasses.is_dataclass(value):
        return
    for attribute, name, walk in _walks_of(type(value)):
        each = getattr(value, attribute, None)
        if each is not None:
            walk(each, f"{path}.{name}" if path else name, found)


def _anything(value: Any, path: str, found: list[Reference]) -> None:
    """Walk a value of a generic Struct by its type: the Struct does not know its parameters."""
    if isinstance(value, DocumentBase):
        found.append(Reference(path, None, value))
    elif isinstance(value, Mapping):
        for key, each in value.items():
            _anything(each, f"{path}.{key}", found)
    elif isinstance(value, list | tuple | set | frozenset):
        for place, each in enumerate(value):
            _anything(each, f"{path}[{place}]", found)
    else:
        _nested(value, path, found)


def reachable_documents(roots: Iterable[Any]) -> list[Any]:
    """Return the documents that can be reached from *roots*, these included; each once.

    A document comes after those that it refers to (in a cycle, as far as possible), siblings in the
    order of the fields. Unresolved documents are left out.
    """
    found: list[Any] = []
    seen: set[int] = set()
    todo = [(root, False) for root in reversed(list(roots))]
    while todo:
        document, left = todo.pop()
        if left:
            found.append(document)
        elif id(document) not in seen:
            seen.add(id(document))
            below = references_of(document)
            if below:
                todo.append((document, True))
                todo += [(each, False) for each in reversed(below)]
            else:
                found.append(document)
    return found


def references_of(document: Any) -> list[Any]:
    """Return the loaded documents that *document* refers to itself."""
    if not has_references(type(document)):
        return []
    return [
        reference.document
        for reference in references_in(document)
        if type(reference.document) is reference.target
        or (isinstance(reference.document, DocumentBase) and is_resolved(reference.document))
    ]


def replace_stand_ins(holder: Any, documents: Mapping[int, Any]) -> None:
    """Replace placeholders in the fields of *holder* by their documents.

    :param documents: the documents by the ``id()`` of their placeholders.
    """
    if not isinstance(holder, msgspec.Struct) and not dataclasses.is_dataclass(holder):
        return
    if isinstance(holder, DocumentBase) and not is_resolved(holder):
        return
    put: Any = force_setattr if isinstance(holder, msgspec.Struct) else object.__setattr__
    for attribute, _, _ in _walks_of(type(holder)):
        value = getattr(holder, attribute, None)
        if (now := _replaced(value, documents)) is not value:
            put(holder, attribute, now)


def _replaced(value: Any, documents: Mapping[int, Any]) -> Any:
    if isinstance(value, DocumentBase):
        return documents.get(id(value), value)
    if isinstance(value, dict):
        value.update({key: _replaced(each, documents) for key, each in value.items()})
    elif isinstance(value, list):
        value[:] = [_replaced(each, documents) for each in value]
    elif isinstance(value, set):
        now = [_replaced(each, documents) for each in value]
        value.clear()
        value.update(now)
    elif isinstance(value, tuple | frozenset):
        now = [_replaced(each, documents) for each in value]
        return getattr(value, "_make", type(value))(now)
    else:
        replace_stand_ins(value, documents)
    return value

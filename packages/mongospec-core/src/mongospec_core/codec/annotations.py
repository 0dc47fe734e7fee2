"""Annotations as types: what msgspec resolves itself, and names of document classes besides.

Document classes refer to each other, often by a name that its module cannot see at run time (a
class defined later inside a function, an import under ``if TYPE_CHECKING``). Every document class
is therefore remembered by name; what a module cannot resolve is looked up here.
"""

import sys
from typing import Any, ForwardRef, get_origin
from weakref import WeakSet

import msgspec
from msgspec.structs import FieldInfo

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

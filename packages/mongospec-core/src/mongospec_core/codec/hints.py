"""Annotations of dataclasses, NamedTuples and TypedDicts, with type parameters substituted."""

from types import get_original_bases
from typing import Any, TypeVar, get_args, get_origin, get_type_hints


def hints_of(tp: Any) -> dict[str, Any]:
    """Return the annotations of a class by field name, those of its bases included.

    In ``Box[int]``, and in ``class Sizes(Box[int])``, a field that is annotated ``T`` is an int.

    :param tp: a class that is not a Struct (msgspec knows those), or one with its parameters.
    :raises NameError: a name is not known.
    """
    cls: Any = get_origin(tp) or tp
    hints = get_type_hints(cls, include_extras=True)
    own = getattr(cls, "__annotations__", {})
    for base in reversed(get_original_bases(cls)):
        inherited = getattr(get_origin(base) or base, "__annotations__", None)
        if isinstance(get_origin(base) or base, type) and inherited is not None:
            for name, hint in hints_of(base).items():
                if name not in own or own[name] == inherited.get(name):  # a TypedDict copies them
                    hints[name] = hint
    arguments = dict(zip(getattr(cls, "__parameters__", ()), get_args(tp), strict=False))
    return {name: _filled(each, arguments) for name, each in hints.items()} if arguments else hints


def _filled(hint: Any, arguments: dict[Any, Any]) -> Any:
    """Return *hint* with its type parameters substituted."""
    if isinstance(hint, TypeVar):
        return arguments.get(hint, hint)
    parameters = getattr(hint, "__parameters__", ())
    if isinstance(hint, type) or not parameters:  # a class may stand without its parameters
        return hint
    return hint[tuple(arguments.get(each, each) for each in parameters)]

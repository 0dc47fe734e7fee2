"""Generate the function that converts a class's instances to raw data, once per class.

Like the ``__init__`` that dataclasses and attrs generate: one expression with everything known in
advance, so an instance costs little more than its values. :mod:`linecache` has the source, for
tracebacks and debuggers. For a class with a ``str``, an ``Enum`` and a list it is::

    def to_raw(it):
        if type(it) is not cls:
            return other(it)
        return {
            "name": it.name,
            "level": None if (value := it.level) is None else encode_1(value),
            "tags": None if (value := it.tags) is None else encode_2(value),
        }
"""

import linecache
from collections.abc import Iterable, Sequence
from keyword import iskeyword
from typing import Any

import msgspec
from msgspec.structs import FieldInfo

from mongospec_core.codec.annotations import type_args
from mongospec_core.codec.raw_values import Encoder


def write_encoder(
    cls: type,
    fields: Sequence[FieldInfo],
    encoders: Sequence[Encoder | None],
    other: Encoder,
    *,
    tag: tuple[str, Any] | None,
    omit_defaults: bool,
    array_like: bool,
) -> Encoder:
    """Generate the function that converts a value in a field annotated as *cls* to raw data.

    The raw data shares no list or dict with the value. Renamed fields, tags, ``UNSET`` and omitted
    defaults are treated as msgspec's own encoders treat them.

    :param encoders: by field; None for a field whose values are sent unchanged.
    :param other: is called with values of other classes.
    :param tag: the name and the value of the class's tag.
    """
    known: dict[str, Any] = {"cls": cls, "other": other, "UNSET": msgspec.UNSET}
    parts: list[tuple[str, str, str]] = []  # when, the stored name, the value
    if tag is not None:
        parts.append(("", repr(tag[0]), repr(tag[1])))
    for place, (field, encode) in enumerate(zip(fields, encoders, strict=True)):
        value = _attribute(field.name)
        if encode is not None:
            known[f"encode_{place}"] = encode
            value = f"None if (value := {value}) is None else encode_{place}(value)"
        known[f"default_{place}"] = field.default
        when = " and ".join(_conditions(place, field, omit_defaults=omit_defaults))
        parts.append((when, repr(field.encode_name), value))
    lines = [
        "def to_raw(it):",
        "    if type(it) is not cls:",
        "        return other(it)",
        *("    " + line for line in _body(parts, array_like=array_like)),
    ]
    return _compiled(cls, "\n".join(lines) + "\n", known)


def _attribute(name: str) -> str:
    """Return how a field is read; ``defstruct`` takes any name."""
    plain = name.isascii() and name.isidentifier() and not iskeyword(name)
    return f"it.{name}" if plain else f"getattr(it, {name!r})"


def _conditions(place: int, field: FieldInfo, *, omit_defaults: bool) -> Iterable[str]:
    """Return the conditions under which a field is written; none if it always is."""
    value = _attribute(field.name)
    if field.default is msgspec.UNSET or msgspec.UnsetType in (field.type, *type_args(field.type)):
        yield f"{value} is not UNSET"
    if omit_defaults and field.default is not msgspec.NODEFAULT:
        yield f"{value} is not default_{place}"
    elif omit_defaults and field.default_factory in (list, dict, set):
        yield f"(type({value}) is not {field.default_factory.__name__} or {value})"


def _body(parts: Sequence[tuple[str, str, str]], *, array_like: bool) -> Iterable[str]:
    """Return one expression, or a statement for each field if some are not always written."""
    if any(when for when, _, _ in parts):
        yield "raw = {}"
        for when, name, value in parts:
            yield f"{f'if {when}: ' if when else ''}raw[{name}] = {value}"
        yield "return list(raw.values())" if array_like else "return raw"
    else:
        yield "return [" if array_like else "return {"
        for _, name, value in parts:
            yield f"    {value}," if array_like else f"    {name}: {value},"
        yield "]" if array_like else "}"


def _compiled(cls: type, source: str, known: dict[str, Any]) -> Encoder:
    file = f"<mongospec encoder of {cls.__module__}.{cls.__qualname__}>"
    exec(compile(source, file, "exec"), known)  # noqa: S102 - every name in it is checked or quoted
    # A time that is None: linecache.checkcache() leaves the entry alone.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    made: Encoder = known["to_raw"]
    return made

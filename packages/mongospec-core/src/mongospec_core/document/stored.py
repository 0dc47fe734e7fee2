# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false
# What is read from BSON is of any type; this module tells the types apart.
"""The stored form: what a document knows of its own copy in the database.

Every document carries one slot that is no field of it:

- *new* (None, and what an unset slot means): it was never stored, as far as we know;
- *stored* (:data:`STORED`): it is in the database, its content there is not known;
- *known* (a tuple): the raw values of its fields as they are in the database, in field order.

``save()`` sends the difference between *known* and what the document holds now, so a snapshot must
be out of reach of changes in place. It is: a read gives instances no list or dict of the raw data,
and the raw data of a write is a fresh tree.
"""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, Final

import bson
import msgspec

from mongospec_core.codec.plan import Plan


class Host:
    """The slot's home: a plain class under the Struct, because a Struct has room for fields only."""

    __slots__ = ("_stored_form",)


class _Stored:
    """The only instance is :data:`STORED`; copies and pickles of it are it."""

    def __repr__(self) -> str:
        return "STORED"

    def __reduce__(self) -> str:
        return "STORED"


STORED: Final = _Stored()

type StoredForm = tuple[Any, ...] | _Stored | None

_slot = Host.__dict__["_stored_form"]  # by the descriptor: no field's name can stand in the way
_write = _slot.__set__


class _Absent:
    """A field that the stored document did not have; ``value`` is what the instance had then."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def stored_form(document: Any) -> StoredForm:
    """What *document* knows of its stored copy."""
    try:
        return _slot.__get__(document)  # type: ignore[no-any-return]
    except AttributeError:
        return None


def set_stored_form(document: Any, form: StoredForm) -> None:
    """Note what is known of the stored copy from now on."""
    _write(document, form)


def is_new(document: Any) -> bool:
    """Whether *document* was never stored."""
    return stored_form(document) is None


def remember_read[T](
    plan: Plan[T], documents: Sequence[T], raws: Sequence[Mapping[str, Any]]
) -> None:
    """Note the raw documents that a batch was read from."""
    names = plan.encode_names
    for document, raw in zip(documents, raws, strict=True):
        try:
            _write(document, tuple([raw[name] for name in names]))
        except KeyError:
            _write(document, _with_gaps(plan, document, raw))


def _with_gaps(plan: Plan[Any], document: Any, raw: Mapping[str, Any]) -> tuple[Any, ...]:
    """Fields that the stored document lacks count as unchanged while they keep their default."""
    return tuple(
        raw[field.encode_name]
        if field.encode_name in raw
        else _Absent(plan.encode_field(place, getattr(document, field.name)))
        for place, field in enumerate(plan.fields)
    )


def remember_written(plan: Plan[Any], document: Any, raw: Mapping[str, Any]) -> None:
    """Note the raw document that was sent and acknowledged."""
    _write(document, tuple([raw.get(name, msgspec.UNSET) for name in plan.encode_names]))


def difference(
    plan: Plan[Any], known: Sequence[Any], raw: Mapping[str, Any], reader: Any
) -> dict[str, Any]:
    """The top-level fields in which *raw* is not what is stored, by their stored names.

    A field that *raw* leaves out but the stored document has comes as ``msgspec.UNSET``.
    """
    changed: dict[str, Any] = {}
    for place, (name, before) in enumerate(zip(plan.encode_names, known, strict=True)):
        now = raw.get(name, msgspec.UNSET)
        if isinstance(before, _Absent):
            if now is msgspec.UNSET or same(before.value, now):
                continue
        elif same(before, now) or _reads_the_same(plan, place, before, now, reader):
            continue
        changed[name] = now
    return changed


def _reads_the_same(plan: Plan[Any], place: int, before: Any, now: Any, reader: Any) -> bool:
    """Whether *before*, once read and written again, would be *now*.

    A read normalises: an int in a float field, fields of a nested Struct that the stored one
    lacks or has besides, the order of a set. None of that is a change.
    """
    if before is msgspec.UNSET or now is msgspec.UNSET:
        return False
    try:
        value = plan.convert_field(place, before, reader)
    except (msgspec.ValidationError, TypeError, ValueError):
        return False
    return same(plan.encode_field(place, value), now)


def same(one: Any, other: Any) -> bool:
    """Whether two raw values are stored alike: ``1`` is not ``True``, key order counts."""
    if isinstance(one, int) and isinstance(other, int):
        return one == other and isinstance(one, bool) is isinstance(other, bool)
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other or (isnan(one) and isnan(other))
    try:
        return bool(one == other)
    except (TypeError, ArithmeticError):
        return bson.encode({"": one}) == bson.encode({"": other})

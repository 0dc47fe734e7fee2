"""The stored form: what a document knows of its own copy in the database.

Every document carries one slot that is no field of it:

- *new* (None, and what an unset slot means): it was never stored, as far as we know; or
  :data:`DELETED`: it was, and was deleted through this object;
- *stored* (:data:`UNKNOWN_CONTENT`): it is in the database, its content there is not known;
- *known* (bytes): the BSON of the stored document, as it was read or sent.

``save()`` sends the difference between *known* and what the document holds now. Bytes are there
anyway when a document is read or written, no change in place can reach them, the garbage collector
need not look at them, and only a ``save()`` decodes them.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false
# What is read from BSON is of any type; this module tells the types apart.

from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import isnan
from typing import Any, Final

import msgspec

from mongospec_core.codec.codec_options import decode, encode
from mongospec_core.codec.plan import Plan


class SnapshotSlot:
    """The slot's home: a plain class under the Struct, because a Struct has room for fields only."""

    __slots__ = ("_stored_form",)


class _Mark:
    """A form that is no content; copies and pickles of a mark are the mark itself."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:
        return self._name


UNKNOWN_CONTENT: Final = _Mark("UNKNOWN_CONTENT")
DELETED: Final = _Mark("DELETED")

type StoredForm = bytes | _Mark | None

_slot = SnapshotSlot.__dict__[
    "_stored_form"
]  # by the descriptor: no field's name can stand in the way
_write = _slot.__set__


class Snapshot(bytes):
    """The BSON of a stored document of which more must be known.

    ``gaps`` has what the instance was given when it was read, by the stored names of top-level
    fields: defaults that are made anew each time, for what the stored document lacks there or
    inside. They count as unchanged while they keep it. ``original`` is the BSON as it is stored,
    where these bytes are what ``__upgrade__`` made of it.
    """

    gaps: Mapping[str, Any]
    original: bytes | None

    def __reduce__(self) -> tuple[Any, ...]:
        return _known, (bytes(self), self.gaps, self.original)


def _known(data: bytes, gaps: Mapping[str, Any], original: bytes | None) -> Snapshot:
    known = Snapshot(data)
    known.gaps, known.original = gaps, original
    return known


def upgraded(original: bytes, data: bytes) -> bytes:
    """The form of a document that is stored as *original* and was upgraded to *data*."""
    return data if data == original else _known(data, {}, original)


def snapshot_of(document: Any) -> StoredForm:
    """What *document* knows of its stored copy."""
    try:
        return _slot.__get__(document)  # type: ignore[no-any-return]
    except AttributeError:
        return None


def set_snapshot(document: Any, form: StoredForm) -> None:
    """Note what is known of the stored copy from now on."""
    _write(document, form)


def is_new(document: Any) -> bool:
    """Whether *document* is not stored: never was, or was deleted through this object."""
    form = snapshot_of(document)
    return form is None or form is DELETED


def remember_read(
    plan: Plan[Any],
    documents: Iterable[Any],
    parts: Iterable[bytes],
    raws: Iterable[Mapping[str, Any]],
) -> None:
    """Note the BSON that a batch was read from."""
    for document, part in zip(documents, parts, strict=True):
        _write(document, part)
    if plan.fresh or plan.fresh_inside:
        for document, part, raw in zip(documents, parts, raws, strict=True):
            _remember_gaps(plan, document, part, raw)


def _remember_gaps(plan: Plan[Any], document: Any, part: bytes, raw: Mapping[str, Any]) -> None:
    """Note the defaults that were made for this reading: the next would make others."""
    names = plan.encode_names
    places = {place for place in plan.fresh if names[place] not in raw}
    places.update(plan.fresh_inside)
    if not places:
        return
    plan.trim(document)
    gaps: dict[str, Any] = {}
    for place in places:
        given = plan.encode_field(place, getattr(document, plan.fields[place].name))
        if not same(given, raw.get(names[place], msgspec.UNSET)):
            gaps[names[place]] = given
    if gaps:
        _write(document, _known(part, gaps, part.original if isinstance(part, Snapshot) else None))


def remember_written(document: Any, data: bytes) -> None:
    """Note the BSON that was sent as the whole of the document, and acknowledged."""
    _write(document, data)


def changed_fields(
    plan: Plan[Any], known: bytes, raw: Mapping[str, Any], reader: Any
) -> dict[str, Any]:
    """The top-level fields in which *raw* is not what is stored, by their stored names.

    A field that *raw* leaves out but the stored document has comes as ``msgspec.UNSET``.
    """
    stored = decode(known)
    gaps = known.gaps if isinstance(known, Snapshot) else {}
    changed: dict[str, Any] = {}
    for place, name in enumerate(plan.encode_names):
        now = raw.get(name, msgspec.UNSET)
        before = gaps[name] if name in gaps else stored.get(name, msgspec.UNSET)
        if before is msgspec.UNSET:
            before = plan.default_of(place)
        if now is msgspec.UNSET:  # left out: a default is as good as nothing
            if name in stored and not same(before, plan.default_of(place)):
                changed[name] = now
            continue
        if same(before, now):
            continue
        if not _reads_the_same(plan, place, before, now, reader):
            changed[name] = now
    if changed and isinstance(known, Snapshot) and known.original is not None:
        changed = _of_upgrade(plan, decode(known.original), stored, raw) | changed
    return changed


def _of_upgrade(
    plan: Plan[Any], original: Mapping[str, Any], stored: Mapping[str, Any], raw: Mapping[str, Any]
) -> dict[str, Any]:
    """What ``__upgrade__`` changed at the top level: a write must not leave the old shape behind,
    or the next read would upgrade it once more, over what was written.
    """
    changed: dict[str, Any] = {name: msgspec.UNSET for name in original if name not in stored}
    for name, value in stored.items():
        if name not in original or not same(original[name], value):
            declared = name in plan.encode_names
            changed[name] = raw.get(name, msgspec.UNSET if declared else value)
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
    if isinstance(one, Decimal):
        return bool(one.as_tuple() == other.as_tuple())  # 1.50 is not 1.5, and NaN is NaN
    try:
        return bool(one == other)
    except (TypeError, ArithmeticError):
        return encode({"": one}) == encode({"": other})

"""Snapshots: what a document knows of its stored copy.

Every document has one slot that is not a field:

- *new* (None, and what an unset slot means): it was never stored, as far as we know; or
  :data:`DELETED`: it was, and was deleted through this object;
- *stored* (:data:`UNKNOWN_CONTENT`): it is in the database, its content there is not known;
- *known* (bytes): the BSON of the stored document, as it was read or sent.

``save()`` sends the difference between *known* and the current content. The bytes exist anyway when
a document is read or written, changes in place cannot reach them, the garbage collector need not
visit them, and only ``save()`` decodes them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from mongospec_core.codec.codec_options import decode, encode
from mongospec_core.codec.elements import (
    ONE_SPELLING,
    Differing,
    as_stored,
    bson_equal,
    differing_elements,
    element_value,
    split_elements,
)
from mongospec_core.codec.plan import Plan
from mongospec_core.codec.types import CHECKING
from mongospec_core.server import place as places
from mongospec_core.server.place import Place


class SnapshotSlot:
    """Holds the slot: a plain base class, because a Struct can only have fields."""

    __slots__ = ("_place", "_stored_form")


class _Mark:
    """A snapshot without content; copies and pickles of a mark are the mark itself."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:
        return self._name


UNKNOWN_CONTENT: Final = _Mark("UNKNOWN_CONTENT")
DELETED: Final = _Mark("DELETED")

type StoredForm = bytes | _Mark | None

# By the descriptor, which a field of the same name cannot hide.
_read: Callable[[Any], StoredForm] = SnapshotSlot.__dict__["_stored_form"].__get__
set_snapshot: Callable[[Any, StoredForm], None] = SnapshotSlot.__dict__["_stored_form"].__set__
"""Note what is known of the stored copy of a document from now on."""
_place = SnapshotSlot.__dict__["_place"]


def place_of(document: Any) -> Place | None:
    """Return the database that *document* belongs to; None: the one that its class is bound to."""
    try:
        return _place.__get__(document)  # type: ignore[no-any-return]
    except AttributeError:
        return None


def set_place(document: Any, place: Place | None) -> None:
    """Note the database that *document* belongs to."""
    _place.__set__(document, place)


def copy_snapshot(twin: Any, document: Any) -> None:
    """Copy the snapshot and the database of *document* to *twin*."""
    set_snapshot(twin, snapshot_of(document))
    if places.used:
        set_place(twin, place_of(document))


class Snapshot(bytes):
    """The BSON of a stored document, with generated defaults or the BSON before an upgrade.

    ``generated_defaults`` has the defaults that default factories generated when the document was read, for what
    the stored document lacks, by the stored names of top-level fields. Such a field counts as
    unchanged while it keeps that value. ``original`` is the BSON as it is stored, if these bytes
    are the result of ``__upgrade__``.
    """

    generated_defaults: Mapping[str, Any]
    original: bytes | None

    def __reduce__(self) -> tuple[Any, ...]:
        return _known, (bytes(self), self.generated_defaults, self.original)


def _known(data: bytes, generated_defaults: Mapping[str, Any], original: bytes | None) -> Snapshot:
    known = Snapshot(data)
    known.generated_defaults, known.original = generated_defaults, original
    return known


def upgraded(original: bytes, data: bytes) -> bytes:
    """Return the snapshot of a document that is stored as *original* and upgraded to *data*."""
    return data if data == original else _known(data, {}, original)


def with_fields(form: bytes, fields: Mapping[str, Any]) -> bytes:
    """Return *form* with the values of these top-level fields replaced, if it has them."""
    stored = decode(form)
    data = encode({**stored, **{name: fields[name] for name in fields if name in stored}})
    return (
        _known(data, form.generated_defaults, form.original) if isinstance(form, Snapshot) else data
    )


def snapshot_of(document: Any) -> StoredForm:
    """Return what *document* knows of its stored copy."""
    try:
        return _read(document)
    except AttributeError:
        set_snapshot(document, None)  # the exception takes ten times as long as reading the slot
        return None


def is_new(document: Any) -> bool:
    """Return whether *document* is not stored: never stored, or deleted through this object."""
    form = snapshot_of(document)
    return form is None or form is DELETED


def remember_read(
    plan: Plan[Any],
    documents: Iterable[Any],
    parts: Iterable[bytes],
    raws: Iterable[Mapping[str, Any]],
) -> None:
    """Set the snapshots of a batch to the BSON that it was read from."""
    for document, part in zip(documents, parts, strict=True):
        set_snapshot(document, part)
    if plan.fresh or plan.fresh_inside:
        members = plan.members
        for document, part, raw in zip(documents, parts, raws, strict=True):
            own = plan if members is None else members[type(document)]
            _remember_defaults(own, document, part, raw)


def _remember_defaults(plan: Plan[Any], document: Any, part: bytes, raw: Mapping[str, Any]) -> None:
    """Note the defaults that were generated for this read: the next read would generate others."""
    names = plan.encode_names
    places = {place for place in plan.fresh if names[place] not in raw}
    places.update(plan.fresh_inside)
    if not places:
        return
    plan.truncate(document)
    generated_defaults: dict[str, Any] = {}
    for place in places:
        given = plan.encode_field(place, getattr(document, plan.fields[place].name))
        if not bson_equal(given, raw.get(names[place], msgspec.UNSET)):
            generated_defaults[names[place]] = given
    if generated_defaults:
        set_snapshot(
            document,
            _known(part, generated_defaults, part.original if isinstance(part, Snapshot) else None),
        )


def changed_fields(
    plan: Plan[Any], form: StoredForm, data: bytes, reader: Any = CHECKING
) -> dict[str, bytes | None]:
    """Return the top-level fields that differ from the stored document, by their stored names.

    The documents are compared as BSON: a field is decoded only if its bytes differ.

    :param form: the snapshot; if its content is unknown, all declared fields count as changed.
    :param data: the BSON of the document as it is now.
    :returns: each field as an element of BSON; None for one that is to be removed.
    """
    if form == data:
        return {}
    if not isinstance(form, bytes):
        now = split_elements(data)
        return {name: now.get(name) for name in plan.encode_names}
    if not isinstance(form, Snapshot):
        return _changed(plan, differing_elements(form, data), {}, reader)
    stored, now, generated = split_elements(form), split_elements(data), form.generated_defaults
    differing = {
        name: (stored.get(name), now.get(name))
        for name in plan.encode_names
        if name in generated or stored.get(name) != now.get(name)
    }
    changed = _changed(plan, differing, generated, reader)
    if changed and form.original is not None:
        changed = _of_upgrade(plan, split_elements(form.original), stored, now) | changed
    return changed


def _changed(
    plan: Plan[Any],
    differing: Mapping[str, Differing],
    generated_defaults: Mapping[str, Any],
    reader: Any,
) -> dict[str, bytes | None]:
    """Return the fields that have changed; what the class does not declare has not."""
    places, scalars = plan.places, plan.scalars
    changed: dict[str, bytes | None] = {}
    for name, (old, new) in differing.items():
        place = places.get(name)
        if place is None:
            continue
        if old and new and old[0] == new[0] in ONE_SPELLING and place in scalars:
            changed[name] = new  # as nearly always
            continue
        before = (
            as_stored(generated_defaults[name])
            if name in generated_defaults
            else as_stored(plan.default_of(place))
            if old is None
            else element_value(old)
        )
        if new is None:  # omitted because it equals the default
            same = old is None or bson_equal(before, as_stored(plan.default_of(place)))
        else:
            same = _reads_equal(plan, place, before, element_value(new), reader)
        if not same:
            changed[name] = new
    return changed


def _reads_equal(plan: Plan[Any], place: int, before: Any, value: Any, reader: Any) -> bool:
    """Return whether a field whose bytes differ has an equal value all the same.

    A read normalises: an int in a float field, missing or additional fields of a nested Struct, the
    order of a set. None of these is a change.
    """
    if before is msgspec.UNSET:
        return False
    if bson_equal(before, value):
        return True
    try:
        read = plan.convert_field(place, before, reader)
    except (msgspec.ValidationError, TypeError, ValueError):
        return False
    return bson_equal(as_stored(plan.encode_field(place, read)), value)


def _of_upgrade(
    plan: Plan[Any],
    original: Mapping[str, bytes],
    stored: Mapping[str, bytes],
    now: Mapping[str, bytes],
) -> dict[str, bytes | None]:
    """Return what ``__upgrade__`` changed at the top level. A write must replace the old shape too,
    or the next read would upgrade the document again, over what was written.
    """
    changed: dict[str, bytes | None] = {name: None for name in original if name not in stored}
    for name, element in stored.items():
        old = original.get(name)
        if old is None or not bson_equal(element_value(old), element_value(element)):
            changed[name] = now.get(name, None if name in plan.encode_names else element)
    return changed

"""What an upsert by operators inserts besides its filter and its update: tag and defaults."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from mongospec_core.codec.plan import Plan
from mongospec_core.codec.raw_values import key_to_raw
from mongospec_core.model.binding import Binding
from mongospec_core.operations.filter_checks import equalities
from mongospec_core.operations.update_checks import check_insert

_MAKING = frozenset(
    {
        *("$set", "$setOnInsert", "$inc", "$mul", "$min", "$max", "$bit"),
        *("$currentDate", "$push", "$addToSet"),
    }
)
"""The operators that create missing fields."""


def add_inserted_fields(
    binding: Binding,
    query: Mapping[str, Any],
    change: dict[str, Any],
    *,
    defaults: bool,
) -> None:
    """Add the tag of the class and its defaults to ``$setOnInsert`` of an upsert.

    A field is skipped if the filter stores it, or if the update touches it.

    :param query: the filter as it is sent.
    :param change: the operators of the update; changed in place.
    :param defaults: whether fields get their defaults; False: only the tag is added.
    :raises DocumentValidationError: no read would accept it: a required field is missing.
    """
    stored = equalities(query)
    made: set[str] = set()
    touched: set[str] = set()
    for operator, fields in change.items():
        if isinstance(fields, Mapping):
            paths = {key_to_raw(each) for each in fields}
            made |= paths if operator in _MAKING else set()
            targets = map(str, fields.values()) if operator == "$rename" else ()
            touched.update(paths, targets)
    plan = _inserted_plan(binding, stored, change)
    on_insert: Any = change.get("$setOnInsert", {})
    if not isinstance(on_insert, Mapping):
        return  # the server refuses it
    names = {each.partition(".")[0] for each in (*stored, *touched)}
    added: dict[str, Any] = {}
    if binding.plan.tag is not None and binding.plan.tag[0] not in names:
        added[binding.plan.tag[0]] = binding.plan.tag[1]
    if defaults and plan is not None:
        added |= _defaults(plan, names)
        on_insert = _without_conflicts(plan, change, on_insert)
    if added or on_insert is not change.get("$setOnInsert", on_insert):
        change["$setOnInsert"] = {**on_insert, **added}
    if plan is not None and binding.paths is not None:
        overwritten = {*(change.get("$set") or ()), *on_insert}
        check_insert(
            binding.paths,
            plan,
            {path: value for path, value in stored.items() if path not in overwritten},
            {*stored, *made, *added},
        )


def _inserted_plan(
    binding: Binding, stored: Mapping[str, Any], change: Mapping[str, Any]
) -> Plan[Any] | None:
    """Return the plan of the class that is inserted; None if no class has the tag."""
    plan = binding.plan
    if plan.tag is None:
        return plan
    field, tag = plan.tag
    for fields in (change.get("$set"), change.get("$setOnInsert"), stored):
        if isinstance(fields, Mapping) and field in fields:
            tag = fields[field]
            break
    if tag == plan.tag[1]:
        return plan
    members = (plan.members or {}).values()
    return next((each for each in members if each.tag == (field, tag)), None)


def _defaults(plan: Plan[Any], names: set[str]) -> dict[str, Any]:
    """Return the defaults of the fields that are not among *names*, as an insert would store them."""
    found = {
        name: plan.inserted_default(place)
        for place, name in enumerate(plan.encode_names)
        if name not in names and name != plan.version
    }
    return {
        name: value
        for name, value in found.items()
        if value is not UNSET and (value is not None or name != "_id")
    }


def _without_conflicts(
    plan: Plan[Any], change: Mapping[str, Any], on_insert: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the caller's ``$setOnInsert`` without defaults of fields that other operators change.

    The server refuses two operators on one field; ``Package(name="a").dump()`` has every field.
    """
    others = {
        key_to_raw(name).partition(".")[0]
        for operator, fields in change.items()
        if operator != "$setOnInsert" and isinstance(fields, Mapping)
        for name in fields
    }
    places = plan.places
    left = {
        name: value
        for name, value in on_insert.items()
        if name not in others or name not in places or plan.default_of(places[name]) != value
    }
    return left if len(left) < len(on_insert) else on_insert

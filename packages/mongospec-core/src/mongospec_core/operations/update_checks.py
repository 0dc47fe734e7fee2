"""Check the paths and values that updates, upserts and raw documents store, before anything is sent.

Other operators and expressions are not checked; the server does that.
"""

# pyright: reportUnknownArgumentType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from bson import Timestamp

from mongospec_core.codec.codec_options import decode, encode
from mongospec_core.codec.paths import Node, PathTree
from mongospec_core.codec.plan import Plan
from mongospec_core.codec.raw_values import ENDLESS, is_embedded, key_to_raw, to_raw
from mongospec_core.errors import (
    DocumentValidationError,
    EncodingError,
    FilterValueError,
    InvalidDocument,
    shown,
)
from mongospec_core.operations.filter_checks import (
    Check,
    check_condition,
    check_entries,
    equalities,
    has_operators,
    is_mapping,
    items_of,
)


def check_update(
    tree: PathTree,
    update: Mapping[str, Any],
    array_filters: Iterable[Any] | None = None,
    query: bytes | None = None,
) -> None:
    """Check every path and every value of an update by operators, and its ``array_filters``.

    :param query: the filter, as it is sent: an ``_id`` may be set to the one that it names.
    :raises UnknownFieldError: it names a field that the class does not have.
    :raises DocumentValidationError: it would leave a document that no read accepts.
    """
    fields = tree.fields
    for operator, changes in update.items():
        check = _UPDATES.get(operator)
        if check is None or not is_mapping(changes):
            continue
        for path, operand in changes.items():
            node = fields.get(path)
            if check is not _check_set or node is None or type(operand) not in node.written:
                name = key_to_raw(path)
                node = node or tree.at(name)
                if name != "_id" or check is not _check_set or not _is_own_id(query, operand):
                    check(tree, node, name, operand)
    if array_filters:
        _check_array_filters(tree, update, array_filters)


def _check_value(tree: PathTree, node: Node, path: str, value: Any) -> None:
    tree.check_names(node, value, path)
    if (why := node.unfit(value)) is not None:
        inner, reason = why
        dot = "." if inner and not inner.startswith("[") else ""
        raise _invalid(tree, f"{path}{dot}{inner}", reason)


def _is_own_id(query: bytes | None, value: Any) -> bool:
    """Return whether a filter names an ``_id`` that is *value*: then the server leaves it as it is."""
    equal = {} if query is None else equalities(decode(query))
    return "_id" in equal and encode({"": equal["_id"]}) == encode({"": value})


def _check_set(tree: PathTree, node: Node, path: str, value: Any) -> None:
    if _is_id(path):
        hint = "an upsert says it in its filter or by $setOnInsert"
        raise _invalid(tree, path, f"MongoDB does not change an _id; {hint}")
    if path in tree.root.tags and len(node.annotations) > 1:
        hint = "it says of which class the document is; an upsert says it by $setOnInsert"
        raise _invalid(tree, path, f"{hint}, and check=False changes it")
    _check_value(tree, node, path, value)


def _check_sum(tree: PathTree, node: Node, path: str, value: Any) -> None:
    _refuse_change_of_identity(tree, path)
    if (
        not node.free
        and type(value) not in node.summands
        and type(to_raw(value)) not in node.summands
    ):
        numbers = ", ".join(sorted(each.__name__ for each in node.summands))
        reason = f"one of {numbers} can be added" if numbers else "no number"
        raise _invalid(tree, path, f"a {node}: {reason}, not {shown(value)}")


def _check_bound(tree: PathTree, node: Node, path: str, value: Any) -> None:
    _refuse_change_of_identity(tree, path)
    if type(value) not in node.summands:
        _check_value(tree, node, path, value)


def _check_bits(tree: PathTree, node: Node, path: str, value: Any) -> None:
    _refuse_change_of_identity(tree, path)
    if not node.free and int not in node.scalars:
        raise _invalid(tree, path, f"a {node}: $bit is for integers")


def _check_date(tree: PathTree, node: Node, path: str, value: Any) -> None:
    _refuse_change_of_identity(tree, path)
    kind = value.get("$type") if is_mapping(value) else "date"
    wanted = Timestamp if kind == "timestamp" else dt.datetime
    if not node.free and wanted not in node.scalars:
        raise _invalid(tree, path, f"a {node}: $currentDate puts a {wanted.__name__} there")


def _check_push(tree: PathTree, node: Node, path: str, value: Any) -> None:
    each = _each_of(tree, node, path)
    if each is None:
        return
    many = is_mapping(value) and "$each" in value
    for item in items_of(value["$each"]) if many else [value]:
        _check_value(tree, each, path, item)
    order = value.get("$sort") if many else None
    if is_mapping(order):
        for name in order:
            tree.at(name, each, f"{path}.")


def _check_pull(tree: PathTree, node: Node, path: str, condition: Any) -> None:
    each = _each_of(tree, node, path)
    if each is None:
        return
    try:
        if is_mapping(condition) and not has_operators(condition) and each.fields:
            check_entries(tree, each, condition, f"{path}.")
        else:
            check_condition(tree, each, path, condition)
    except FilterValueError as error:
        raise _invalid(tree, error.path, str(error)) from error


def _check_pull_all(tree: PathTree, node: Node, path: str, values: Any) -> None:
    for item in items_of(values):
        _check_pull(tree, node, path, {"$eq": item})


def _check_pop(tree: PathTree, node: Node, path: str, value: Any) -> None:
    _each_of(tree, node, path)


def _each_of(tree: PathTree, node: Node, path: str) -> Node | None:
    """Return the elements of a list; None: anything may stand in it."""
    _refuse_change_of_identity(tree, path)
    if node.each is None and not node.free:
        raise _invalid(tree, path, f"a {node}, not a list of any length")
    return node.each


def _check_unset(tree: PathTree, node: Node, path: str, value: Any) -> None:
    _refuse_change_of_identity(tree, path)
    above, _, name = path.rpartition(".")
    holder = tree.at(above) if above else tree.root
    if (name.isdecimal() or name.startswith("$")) and holder.element is not None:
        if node.unfit(None) is not None:  # the server replaces it with null
            raise _invalid(tree, path, f"a {node}, which cannot be null")
    elif name in (holder if holder.element is None else holder.element).required:
        raise _invalid(tree, path, "required: without it no document can be read")


def _check_rename(tree: PathTree, node: Node, path: str, target: Any) -> None:
    _check_unset(tree, node, path, target)
    new = tree.at(target)
    _refuse_change_of_identity(tree, target)
    if not new.free and not set(node.annotations) <= set(new.annotations):
        raise _invalid(tree, path, f"a {node}, which {shown(target)} cannot be: it is {new}")


def _refuse_change_of_identity(tree: PathTree, path: str) -> None:
    if _is_id(path) or path in tree.root.tags:
        raise _invalid(tree, path, "it says which document this is, and cannot be changed")


def _is_id(path: str) -> bool:
    return path == "_id" or path.startswith("_id.")


_UPDATES: Mapping[str, Check] = {
    "$set": _check_set,
    "$setOnInsert": _check_value,
    "$inc": _check_sum,
    "$mul": _check_sum,
    "$min": _check_bound,
    "$max": _check_bound,
    "$bit": _check_bits,
    "$currentDate": _check_date,
    "$push": _check_push,
    "$addToSet": _check_push,
    "$pull": _check_pull,
    "$pullAll": _check_pull_all,
    "$pop": _check_pop,
    "$unset": _check_unset,
    "$rename": _check_rename,
}
"""The operators of an update."""


def _invalid(tree: PathTree, path: str, reason: str) -> DocumentValidationError:
    failure = InvalidDocument(None, path, reason)
    return DocumentValidationError(tree.cls, [failure], "the update was not sent")


def _check_array_filters(
    tree: PathTree, update: Mapping[str, Any], array_filters: Iterable[Any]
) -> None:
    """Check ``{"x.price": ...}`` for the elements that the update calls ``$[x]``."""
    elements: dict[str, Node] = {}
    for path in _paths_of(update):
        steps = path.split(".")
        for place, step in enumerate(steps):
            if step.startswith("$[") and step != "$[]":
                elements[step[2:-1]] = tree.at(".".join(steps[: place + 1]))
    for condition in items_of(array_filters):
        _check_array_filter(tree, elements, condition)


def _check_array_filter(tree: PathTree, elements: Mapping[str, Node], condition: Any) -> None:
    if not is_mapping(condition):
        return
    for path, operand in condition.items():
        name, _, rest = key_to_raw(path).partition(".")
        if name.startswith("$"):
            for each in items_of(operand):
                _check_array_filter(tree, elements, each)
        elif (element := elements.get(name)) is not None:
            if rest:
                check_entries(tree, element, {rest: operand}, f"{name}.")
            else:
                check_condition(tree, element, name, operand)


def check_document(tree: PathTree, document: Mapping[str, Any]) -> None:
    """Check a dict that is stored as a whole document: what a read would drop of it.

    :raises UnknownFieldError: the class, or one inside of it, does not have a field.
    :raises DocumentValidationError: a Struct or a dataclass is not of its field's class.
    :raises EncodingError: a value is nested too deeply, or contains itself.
    """
    for key, value in document.items():
        name = key_to_raw(key)
        node = tree.at(name)
        try:
            if _holds_embedded(value):
                _check_value(tree, node, name, value)
            else:
                tree.check_names(node, value, name)
        except RecursionError as error:
            raise EncodingError(f"{tree.cls.__name__}.{name}: {ENDLESS}") from error


def _holds_embedded(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_embedded, value.values()))
    if isinstance(value, list | tuple | Set):
        return any(map(_holds_embedded, value))
    return is_embedded(type(value))


def check_insert(
    tree: PathTree, plan: Plan[Any], stored: Mapping[str, Any], given: Iterable[str]
) -> None:
    """Check what an upsert inserts, for a class or a related one.

    :param stored: the values that the filter's equalities store, by path.
    :param given: all paths that are stored.
    :raises DocumentValidationError: no read would accept it.
    """
    for path, value in stored.items():
        if (why := tree.at(path).unfit(value, stored=True)) is not None:
            raise _invalid(tree, path, f"{why[1]}, which the filter says")
    required = {each.encode_name for each in plan.fields if each.required}
    if plan.version is not None:
        required -= {plan.version}
    if not plan.object_ids:  # the server would generate an ObjectId
        required |= {"_id"}
    _check_required(tree, tree.root, required, [path.split(".") for path in given], "")


def _check_required(
    tree: PathTree, node: Node, required: Set[str], given: Iterable[Sequence[str]], above: str
) -> None:
    below: dict[str, list[Sequence[str]]] = {}
    for name, *rest in given:
        below.setdefault(name, []).append(rest)
    for name in sorted(required - below.keys()):
        raise _invalid(
            tree,
            f"{above}{name}",
            "required, and the upsert would insert a document without it: add it to $setOnInsert",
        )
    for name, paths in below.items():
        inside = node.fields.get(name)
        if inside is not None and inside.is_document and all(paths):
            _check_required(tree, inside, inside.required, paths, f"{above}{name}.")


def _paths_of(update: Mapping[str, Any]) -> Iterator[str]:
    for changes in update.values():
        if is_mapping(changes):
            yield from map(key_to_raw, changes)

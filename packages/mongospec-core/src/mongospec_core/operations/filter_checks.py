"""Check the paths and values of filters against the class, before anything is sent.

Other operators, expressions and geometry are not checked; the server does that.
"""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import re
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, TypeIs

from bson import ObjectId, Regex

from mongospec_core.codec.paths import Node, PathTree
from mongospec_core.codec.raw_values import key_to_raw
from mongospec_core.errors import FilterValueError, shown

type Check = Callable[[PathTree, Node, str, Any], None]
"""Checks an operand; takes the tree, the node and the path of the field, and the operand."""


def check_filter(tree: PathTree, filter: Mapping[str, Any]) -> None:
    """Check every path and every value of a filter.

    :raises UnknownFieldError: it names a field that the class does not have.
    :raises FilterValueError: it compares a field to a value that no document can have there.
    """
    fields = tree.fields
    for path, condition in filter.items():
        node = fields.get(path)
        if node is None or type(condition) not in node.asked:
            _check_entry(tree, tree.root, path, condition, "")


def check_entries(tree: PathTree, root: Node, filter: Mapping[str, Any], above: str) -> None:
    for path, condition in filter.items():
        _check_entry(tree, root, path, condition, above)


def _check_entry(tree: PathTree, root: Node, path: Any, condition: Any, above: str) -> None:
    """Check one entry of a filter: a path and its condition, or a logical operator."""
    node = root.fields.get(path)
    if node is None:
        path = key_to_raw(path)
        if path.startswith("$"):
            if path in ("$and", "$or", "$nor"):
                for each in items_of(condition):
                    if is_mapping(each):
                        check_entries(tree, root, each, above)
            return
        node = tree.at(path, root, above)
    if type(condition) not in node.asked:
        check_condition(tree, node, above + path, condition)


def check_condition(tree: PathTree, node: Node, path: str, condition: Any) -> None:
    if node.free:
        return
    if not has_operators(condition):
        _check_equality(tree, node, path, condition)
        return
    for operator, operand in condition.items():
        if type(operand) not in node.asked:
            check = _CONDITIONS.get(operator)
            if check is not None:
                check(tree, node, path, operand)


def has_operators(condition: Any) -> bool:
    """Return whether a dict in a filter has operators, so that it is not a value itself."""
    if not is_mapping(condition):
        return False
    first = next(iter(condition), None)
    return isinstance(first, str) and first[:1] == "$" and first not in ("$ref", "$id")


def equalities(filter: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that an upsert by *filter* stores when it inserts, by their paths."""
    found: dict[str, Any] = {}
    for path, condition in filter.items():
        if path == "$and" or (path == "$or" and len(list(items_of(condition))) == 1):
            for clause in items_of(condition):
                if isinstance(clause, Mapping):
                    found |= equalities(clause)
        elif path.startswith("$") or isinstance(condition, re.Pattern | Regex):
            continue
        elif not has_operators(condition):
            found[path] = condition
        elif "$eq" in condition:
            found[path] = condition["$eq"]
    return found


def is_mapping(value: Any) -> TypeIs[Mapping[Any, Any]]:
    return type(value) is dict or isinstance(value, Mapping)


def _check_equality(tree: PathTree, node: Node, path: str, value: Any) -> None:
    tree.check_names(node, value, path)
    if not node.holds(value):
        raise _refused(tree, node, path, value)


def _check_order(tree: PathTree, node: Node, path: str, value: Any) -> None:
    if not node.holds(value, ordered=True):
        raise _refused(tree, node, path, value)


def _check_any(tree: PathTree, node: Node, path: str, values: Any) -> None:
    for each in items_of(values):
        if type(each) not in node.asked:
            _check_equality(tree, node, path, each)


def _check_all(tree: PathTree, node: Node, path: str, values: Any) -> None:
    for each in items_of(values):
        check_condition(tree, node, path, each)


def check_element(tree: PathTree, node: Node, path: str, condition: Any) -> None:
    element = node.element
    if element is None:
        raise _refused(tree, node, path, condition, "$elemMatch applies to the elements of a list")
    if not is_mapping(condition):
        return
    first = next(iter(condition), "")
    if has_operators(condition) and first not in ("$and", "$or", "$nor"):
        check_condition(tree, element, path, condition)
    elif not element.free:
        check_entries(tree, element, condition, f"{path}.")


_CONDITIONS: Mapping[str, Check] = {
    "$eq": _check_equality,
    "$ne": _check_equality,
    "$gt": _check_order,
    "$gte": _check_order,
    "$lt": _check_order,
    "$lte": _check_order,
    "$in": _check_any,
    "$nin": _check_any,
    "$all": _check_all,
    "$elemMatch": check_element,
    "$not": check_condition,
}
"""The operators of a condition that are checked."""


def items_of(values: Any) -> Iterable[Any]:
    """Return the items of a list in a query; none if it is not a list, which the server refuses."""
    return values if isinstance(values, list | tuple | Set) else ()


def _refused(
    tree: PathTree, node: Node, path: str, value: Any, hint: str | None = None
) -> FilterValueError:
    hint = hint or node.refusal(value)
    if hint is None and isinstance(value, str) and ObjectId in node.scalars:
        hint = f"an id is not its text: write ObjectId({shown(value)})"
        hint += f", or {tree.cls.__name__}.find_by_id(...), which takes it" if path == "_id" else ""
    return FilterValueError(tree.cls, path, str(node), value, hint or "")

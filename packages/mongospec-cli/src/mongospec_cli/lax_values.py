"""Stored values that a read accepts, but that are not what the class would write."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from math import isnan
from struct import unpack
from types import UnionType
from typing import Union, get_origin

from mongospec_cli.bson_types import ARRAY, DOUBLE, INTEGERS, OBJECT, name_of
from mongospec_core.extension import Node, differing_elements, split_elements, type_args, unwrap

type Difference = tuple[str, str, str]
"""A path, what is stored there, and what the class writes."""


def lax_values(
    stored: bytes, written: bytes, root: Node | None, ignored: Collection[str] = ()
) -> Iterator[Difference]:
    """Yield the values that differ in two BSON documents: the stored one and what its class writes.

    These are the same: int and long, the order of fields and of a set, a missing field and its default.
    Fields that the class does not declare are left out.

    :param root: the node of the class's tree of paths; None if it has none.
    :param ignored: fields at the top that are left out.
    """
    for name, one, other in _common(stored, written):
        if name not in ignored:
            yield from _in_value(name, one, other, _below(root, name))


def _common(stored: bytes, written: bytes) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield the elements that both documents have, and that differ."""
    for name, (one, other) in differing_elements(stored, written).items():
        if one is not None and other is not None:
            yield name, _value(name, one), _value(name, other)


def _value(name: str, element: bytes) -> bytes:
    """Return a BSON element without its name: the byte of its type, and its value."""
    return element[:1] + element[len(name.encode()) + 2 :]


def _below(node: Node | None, name: str) -> Node | None:
    return None if node is None else node.member(name)


def _in_value(path: str, stored: bytes, written: bytes, node: Node | None) -> Iterator[Difference]:
    kind, other = stored[0], written[0]
    if kind == other == OBJECT:
        yield from _in_document(path, stored[1:], written[1:], node)
    elif kind == other == ARRAY:
        yield from _in_array(path, stored[1:], written[1:], node)
    elif _comparable(stored) != _comparable(written):
        name = name_of(kind, stored[1:])
        now = name_of(other, written[1:])
        yield path, name, now if now != name else f"another {name}"


def _in_document(
    path: str, stored: bytes, written: bytes, node: Node | None
) -> Iterator[Difference]:
    if node is not None and node.values is not None and not node.members:  # a dict
        if split_elements(stored).keys() != split_elements(written).keys():
            yield f"{path}.{{}}", "key", "another key"
        for _, one, other in _common(stored, written):
            yield from _in_value(f"{path}.{{}}", one, other, node.values)
        return
    for name, one, other in _common(stored, written):
        yield from _in_value(f"{path}.{name}", one, other, _below(node, name))


def _in_array(path: str, stored: bytes, written: bytes, node: Node | None) -> Iterator[Difference]:
    ours, theirs = (
        [_value(name, each) for name, each in split_elements(one).items()]
        for one in (stored, written)
    )
    if len(ours) > len(theirs):
        yield path, "array", "a shorter array"
        return
    same = Counter(map(_comparable, ours)) & Counter(map(_comparable, theirs))
    left = list(_without(same, theirs))
    unordered = _is_set(node)
    below = None if node is None else node.each
    for one in _without(same, ours):
        found = [
            list(_in_value(f"{path}[]", one, each, below))
            for each in left[: None if unordered else 1]
        ]
        least = min(found, key=len)
        del left[found.index(least)]
        yield from least


def _is_set(node: Node | None) -> bool:
    for annotation in () if node is None else node.annotations:
        tp = unwrap(annotation)
        for arm in type_args(tp) if get_origin(tp) in (Union, UnionType) else (tp,):
            if (get_origin(unwrap(arm)) or unwrap(arm)) in (set, frozenset):
                return True
    return False


def _without(common: Counter[int | bytes], values: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the values that are left: those of a set are in another order."""
    left = common.copy()
    for each in values:
        key = _comparable(each)
        if left[key]:
            left[key] -= 1
        else:
            yield each


def _comparable(value: bytes) -> int | bytes:
    """Return what is equal for an int and a long, and for any two NaN."""
    if value[0] in INTEGERS:
        return int.from_bytes(value[1:], "little", signed=True)
    if value[0] == DOUBLE and isnan(*unpack("<d", value[1:])):
        return b"NaN"
    return value

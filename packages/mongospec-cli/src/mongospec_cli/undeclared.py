"""Stored fields that the class does not declare."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from collections.abc import Callable
from functools import cached_property
from typing import Any

from mongospec_core.extension import Binding, Node, Plan

type Found = Callable[[str, Any], object]
"""Called with the path and the value of each field that is not declared."""


class Declared:
    """The fields that are declared at one place of a document, and in what is below it.

    :param node: of the class's tree of paths.
    """

    def __init__(self, node: Node, known: "dict[Node, Declared]") -> None:
        self._node = node
        self._known = known
        known[node] = self

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(self._node.fields)

    @cached_property
    def below(self) -> "list[tuple[str, Declared]]":
        """The fields with something below them, where there may be fields that are not declared."""
        pairs = [(name, self._of(node)) for name, node in self._node.fields.items()]
        return [(name, each) for name, each in pairs if each is not None]

    @cached_property
    def values(self) -> "Declared | None":
        return self._of(self._node.values)

    @cached_property
    def elements(self) -> "Declared | None":
        return self._of(self._node.each)

    def _of(self, node: Node | None) -> "Declared | None":
        if node is None or node.free or not (node.members or node.values or node.each):
            return None
        return self._known.get(node) or Declared(node, self._known)

    def walk(self, value: Any, path: str, found: Found) -> None:
        """Call *found* for each field that is not declared."""
        if type(value) is list:
            if self.elements is not None:
                for each in value:
                    self.elements.walk(each, f"{path}[]", found)
        elif type(value) is dict:
            if self._node.values is not None:
                if self.values is not None:
                    for each in value.values():
                        self.values.walk(each, f"{path}.{{}}", found)
                return
            if not self._node.members:
                return
            prefix = f"{path}." if path else ""
            if not value.keys() <= self.names:
                for name in value.keys() - self.names:
                    found(prefix + name, value[name])
            for name, below in self.below:
                if (each := value.get(name)) is not None:
                    below.walk(each, prefix + name, found)


class DeclaredNames:
    """The names of the top-level fields that are declared."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def walk(self, value: Any, path: str, found: Found) -> None:
        """Call *found* for each field that is not declared."""
        for name in value.keys() - self._names:
            found(name, value[name])


def declared_of(binding: Binding) -> Declared | DeclaredNames:
    """Return what a class and its family declare; without checked queries, only the fields' names."""
    if binding.paths is not None:
        return Declared(binding.paths.root, {})
    plan: Plan[Any] = binding.plan
    plans = plan.members.values() if plan.members else (plan,)
    return DeclaredNames({name for each in plans for name in _names_of(each)})


def _names_of(plan: Plan[Any]) -> list[str]:
    return [*plan.encode_names, *(() if plan.tag is None else (plan.tag[0],))]

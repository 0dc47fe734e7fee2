"""Bindings of document classes to collections."""

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any

from mongospec_core.codec.paths import PathTree
from mongospec_core.codec.plan import Plan, plan_of
from mongospec_core.errors import NotBoundError, WrongDatabaseError, shown
from mongospec_core.limits import MAX_NESTING
from mongospec_core.model.family import Scope
from mongospec_core.model.metaclass import is_abstract
from mongospec_core.model.read import Reader
from mongospec_core.model.snapshot import SnapshotSlot, is_new, place_of
from mongospec_core.server import place as places
from mongospec_core.server.client import Target
from mongospec_core.server.place import Block, Place


class Binding:
    """A document class bound to its collection: its plan, its target and its hooks.

    ``paths`` is the tree that its queries are checked against; None for ``check_queries=False``.
    """

    __slots__ = ("hooks", "paths", "plan", "reader", "scope", "target")

    def __init__(
        self, plan: Plan[Any], target: Target, hooks: frozenset[str], scope: Scope | None = None
    ) -> None:
        self.plan: Plan[Any] = plan
        self.target: Target = target
        self.hooks: frozenset[str] = hooks
        self.scope: Scope | None = scope
        self.paths: PathTree | None = (
            PathTree(plan.cls, (plan.type,), plan.dec_hook)
            if getattr(plan.cls, "__check_queries__", True)
            else None
        )
        self.reader: Reader[Any] = Reader(plan, target.codec)  # of reads without options

    def scoped(self, filter: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a filter that finds only documents of the class, which may share its collection."""
        return filter if self.scope is None else self.scope.applied(filter)

    def unchecked(self) -> "Binding":
        """Return a binding to the same collection whose queries are not checked."""
        twin = copy(self)
        twin.paths = None
        return twin

    def moved(self, block: Block) -> "Binding":
        """Return the binding of the same class to the database of a block."""
        own = self.target
        if _is(block, own):
            return self
        target = Target(
            own.owner, block.database, own.name, own.codec, own.timeout, place=block.place
        )
        return Binding(self.plan, target, self.hooks, self.scope)


def bind(cls: type, binding: Binding | None) -> None:
    """Bind *cls*, or unbind it with None; its subclasses are not touched."""
    type.__setattr__(cls, "__binding__", binding)


def binding_of(cls: type) -> Binding:
    """Return the class's own binding, never that of a base.

    :raises NotBoundError: ``init()`` was not called for this class, or ``close()`` was.
    """
    binding: Binding | None = cls.__dict__.get("__binding__")
    if binding is None and is_abstract(cls):
        raise NotBoundError(f"{cls.__name__} is abstract: call this on a concrete subclass")
    if binding is None:
        raise NotBoundError(
            f"{cls.__name__} is not bound to a collection: "
            f"call init(db, document_types=[..., {cls.__name__}]) first"
        )
    return _elsewhere(binding) if places.used else binding


def _elsewhere(binding: Binding) -> Binding:
    """Return the binding for the current block's database, or *binding* outside of blocks."""
    block = places.block()
    if block is None:
        return binding
    found: Binding | None = block.bindings.get(binding)
    if found is None:
        found = block.bindings[binding] = binding.moved(block)
    return found


def refuse_elsewhere(cls: type, documents: Iterable[Any]) -> None:
    """Refuse documents that belong to a database other than the current one of *cls*.

    :raises WrongDatabaseError: there is such a document.
    """
    if not places.used or not is_bound(cls):
        return
    here = binding_of(cls).target
    for document in documents:
        there = place_of(document)
        if not is_new(document) and not _is_at(there, here):
            raise WrongDatabaseError(
                f"{cls.__name__} of _id={shown(document._id)} belongs to "
                f"{there or 'the database of init()'}, and operations go to the database "
                f"{here.database.name!r} here (nothing was sent); use it in a block using() that one, "
                f"or insert a copy without _id"
            )


def refuse_foreign(value: Any, levels: int = MAX_NESTING) -> None:
    """Refuse documents of another database in a filter, an update or a pipeline.

    :param levels: how deep to look; what is nested more deeply cannot be sent.
    :raises WrongDatabaseError: there is such a document.
    """
    if not places.used or levels == 0:
        return
    if isinstance(value, SnapshotSlot):
        for cls in type(value).__mro__:  # a generated class has the document's class as a base
            if is_bound(cls):
                refuse_elsewhere(cls, [value])
                break
    elif isinstance(value, Mapping | list | tuple | set | frozenset):
        inside: Any = value.values() if isinstance(value, Mapping) else value  # pyright: ignore[reportUnknownVariableType]
        for each in inside:
            refuse_foreign(each, levels - 1)


def refuse_crossing(target: Target, what: str) -> None:
    """Refuse to continue a cursor in a block of another database than its own.

    :raises WrongDatabaseError: the current database is another one.
    """
    block = places.block()
    if not (target.place is None if block is None else _is(block, target)):
        name = "of init()" if block is None else repr(block.database.name)
        raise WrongDatabaseError(
            f"{what}: it was begun in the database {target.database.name!r} and is read in the "
            f"database {name}; read it in the block in which it was made"
        )


def _is_at(there: Place | None, here: Target) -> bool:
    if there is None:
        return here.place is None
    if there.name is None:
        return True
    return there.name == here.database.name and there.state in (None, here.state)


def _is(block: Block, target: Target) -> bool:
    return target.database.name == block.database.name and target.state is block.place.state


def is_bound(cls: type) -> bool:
    """Return whether *cls* itself is bound."""
    return cls.__dict__.get("__binding__") is not None


def reading_plan(tp: Any) -> Plan[Any]:
    """Return the plan that reads documents of a class: its whole family's if it is bound."""
    binding: Binding | None = getattr(tp, "__dict__", {}).get("__binding__")
    return plan_of(tp) if binding is None else binding.plan

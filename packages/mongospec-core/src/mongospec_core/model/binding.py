"""Which collection a class is bound to."""

from typing import Any

from mongospec_core.codec.paths import PathTree
from mongospec_core.codec.plan import Plan, plan_of
from mongospec_core.errors import NotBoundError
from mongospec_core.model.family import Scope
from mongospec_core.model.metaclass import is_abstract
from mongospec_core.model.read import Reader
from mongospec_core.server.client import Target


class Binding:
    """A document class on its collection: its plan, where it goes, which hooks it has.

    ``paths`` is what its queries are checked against; None for ``check_queries=False``.
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
        self.reader: Reader[Any] = Reader(
            plan, target.codec
        )  # of reads that ask for nothing special


def bind(cls: type, binding: Binding | None) -> None:
    """Bind *cls*, or unbind it with None; its subclasses are not touched."""
    type.__setattr__(cls, "__binding__", binding)


def binding_of(cls: type) -> Binding:
    """The class's own binding: a base's does not count.

    :raises NotBoundError: ``init()`` was not called for this class, or ``close()`` was.
    """
    binding: Binding | None = cls.__dict__.get("__binding__")
    if binding is None and is_abstract(cls):
        raise NotBoundError(f"{cls.__name__} is abstract: call this of a concrete subclass")
    if binding is None:
        raise NotBoundError(
            f"{cls.__name__} is not bound to a collection: "
            f"call init(db, document_types=[..., {cls.__name__}]) first"
        )
    return binding


def is_bound(cls: type) -> bool:
    """Whether *cls* itself is bound."""
    return cls.__dict__.get("__binding__") is not None


def reading_plan(tp: Any) -> Plan[Any]:
    """The plan by which documents of a class are read: of its whole family if it is bound."""
    binding: Binding | None = getattr(tp, "__dict__", {}).get("__binding__")
    return plan_of(tp) if binding is None else binding.plan

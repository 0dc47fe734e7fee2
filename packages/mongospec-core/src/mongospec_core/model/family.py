"""Families: tagged classes that inherit from each other and share one collection.

A class with a msgspec tag (``tag_field="kind", tag="animal"``) stores its documents in the collection
of the first of its tagged bases, its *root*. The root reads them all, each as its own class; every
other class reads its own documents and those of its subclasses, by a condition on the tag.
"""

from collections.abc import Collection, Mapping
from functools import cached_property
from itertools import chain
from typing import Any, Union

from mongospec_core.codec.annotations import iter_types, tag_of
from mongospec_core.codec.field_codec import decoded_fields
from mongospec_core.codec.plan import DecHook, Plan, Upgrade, hook_of, plan_of
from mongospec_core.codec.raw_values import Encoder, Rejected
from mongospec_core.codec.types import Decoder
from mongospec_core.errors import shown
from mongospec_core.model.hooks import run_upgrade, same_function
from mongospec_core.model.metaclass import is_abstract


def collection_name_of(cls: Any) -> str:
    """Return a class's collection: ``__collection_name__``, its root's name or its own name."""
    if cls.__collection_name__:
        return cls.__collection_name__  # type: ignore[no-any-return]
    if tag_of(cls) is None:
        return cls.__name__  # type: ignore[no-any-return]
    tagged = [base for base in cls.__mro__ if tag_of(base) is not None and not is_abstract(base)]
    return (tagged or [cls])[-1].__name__  # type: ignore[no-any-return]


def is_member(cls: type, of: type) -> bool:
    """Return whether documents of *cls* are also documents of the class *of*."""
    if cls is of:
        return True
    one, other = tag_of(cls), tag_of(of)
    if one is None or other is None or not issubclass(cls, of):
        return False
    return one[0] == other[0] and collection_name_of(cls) == collection_name_of(of)


def are_relatives(one: type, other: type) -> bool:
    """Return whether two classes share a collection and tags tell their documents apart."""
    return tag_of(one) is not None and any(
        is_member(one, base) and is_member(other, base) for base in one.__mro__
    )


def members_of(cls: type) -> list[type]:
    """Return *cls* and the subclasses whose documents are also its own, bound or not."""
    found: dict[type, None] = {}
    todo = [cls]
    for each in todo:  # grows as it goes
        todo += type.__subclasses__(each)
        generated = "[" in each.__name__  # by mongospec-refs: User[unresolved]
        if not generated and is_member(each, cls) and not is_abstract(each):
            found[each] = None
    return list(found)


class Scope:
    """The condition on the tag that selects a class's documents in a shared collection."""

    __slots__ = ("condition", "is_exact", "tag_field")

    def __init__(self, tag_field: str, tags: Collection[str | int]) -> None:
        self.tag_field: str = tag_field
        first, *others = sorted(tags, key=str)
        self.is_exact: bool = not others
        self.condition: Mapping[str, Any] = {
            tag_field: {"$in": [first, *others]} if others else first
        }

    def applied(self, filter: Mapping[str, Any]) -> dict[str, Any]:
        """Return *filter* with the condition added."""
        if self.tag_field in filter:
            return {"$and": [self.condition, filter]}
        return {**filter, **self.condition}


def scope_of(cls: Any) -> Scope | None:
    """Return the scope of a class; None if all documents of its collection are its own."""
    tag = tag_of(cls)
    above = [base for base in cls.__mro__[1:] if hasattr(base, "__collection_name__")]
    if tag is None or not any(is_member(cls, base) for base in above):
        return None
    tags = [tag_of(each) for each in (cls, *members_of(cls))]
    return Scope(tag[0], {each[1] for each in tags if each is not None})


class FamilyPlan(Plan[Any]):
    """The plan of a class whose collection also holds documents of its subclasses.

    Fields are those of the class's own plan; whole documents are written and read by the plan of
    their own class, a batch of them in one msgspec call.

    :param plan: the class's own plan.
    :param members: the bound classes of its documents, including itself.
    :param unbound: the unbound classes of its documents.
    """

    def __init__(
        self, plan: Plan[Any], members: Collection[type], unbound: Collection[Any]
    ) -> None:
        self.__dict__.update(plan.__dict__)
        self.__dict__.pop("encode", None)  # it is cached
        assert plan.tag is not None
        self._tag_field = plan.tag[0]
        plans = [plan if each is plan.cls else plan_of(each) for each in members]
        self._plans = {each.cls: each for each in plans}
        self.members: Mapping[type, Plan[Any]] | None = self._plans
        self._own = plan
        self._by_tag = {each.tag[1]: each for each in plans if each.tag is not None}
        self._unbound = {each.__struct_config__.tag: each.__name__ for each in unbound}
        union: Any = Union[tuple(self._plans)]  # noqa: UP007
        self.type: Any = union
        self.list_type: Any = list[union]
        # A field's own decoder takes precedence.
        self.decoders: tuple[tuple[str, Decoder], ...] = (
            *chain.from_iterable(each.decoders for each in plans),
            *plan.decoders,
        )
        self.decimals: bool = any(each.decimals for each in plans)
        self.fresh: tuple[int, ...] = tuple(chain.from_iterable(each.fresh for each in plans))
        self.fresh_inside: tuple[int, ...] = tuple(
            chain.from_iterable(each.fresh_inside for each in plans)
        )
        inside = chain.from_iterable(iter_types(each) for each in self._plans)
        self.dec_hook: DecHook | None = hook_of(plan.cls, list(inside))
        self.upgrade: Upgrade | None = (
            self._upgrade if any(each.upgrade for each in plans) else None
        )

    def truncate(self, instance: Any) -> bool:
        return self._plans[type(instance)].truncate(instance)

    @cached_property
    def encode(self) -> Encoder:
        return lambda instance: self._plans[type(instance)].encode(instance)

    def prepare(self, raws: list[Any], reader: Any) -> list[Any]:
        return [self._prepared(raw, reader) for raw in raws]

    def _prepared(self, raw: Any, reader: Any) -> Any:
        plan = self._plan_of(raw)
        if plan is None:
            reason = self._reason(raw.get(self._tag_field)).replace("`", "'")
            return {
                **raw,
                self._tag_field: type(reason, (Rejected,), {})(),
            }  # as rejected(), not cached
        return decoded_fields(raw, plan.decoders, reader) if plan.decoders else raw

    def _plan_of(self, raw: Mapping[str, Any]) -> Plan[Any] | None:
        tag: Any = raw.get(self._tag_field)
        return self._by_tag.get(tag) if type(tag) in (str, int) else None

    def _reason(self, tag: Any) -> str:
        """Return why no class was found for a tag."""
        if tag is None:
            return f"missing: {self.cls.__name__} and its subclasses are told apart by it"
        name = self._unbound.get(tag) if type(tag) in (str, int) else None
        if name is not None:
            return f"{tag!r} is the tag of {name}, which is not bound: add it to document_types"
        known = ", ".join(map(repr, self._by_tag))
        return f"{shown(tag)} is not the tag of a class: {self.cls.__name__} and its subclasses have {known}"

    def _upgrade(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Upgrade a document by its own class; else by this one, whose upgrade may add the tag."""
        first = self._plan_of(raw) or self._own
        if first.upgrade is not None:
            raw = run_upgrade(first.cls, first.upgrade, raw)
        second = self._plan_of(raw)
        if second is None or second.upgrade is None or same_function(first.upgrade, second.upgrade):
            return raw
        return run_upgrade(second.cls, second.upgrade, raw)


def family_plan(cls: type, bound: Collection[type]) -> Plan[Any]:
    """Return the plan of *cls*, or a plan of all its members if it has others besides itself.

    :param bound: the classes that are bound to its database.
    """
    plan = plan_of(cls)
    members = members_of(cls)
    if plan.tag is None or len(members) == 1:
        return plan
    return FamilyPlan(
        plan,
        [each for each in members if each in bound],
        [each for each in members if each not in bound],
    )

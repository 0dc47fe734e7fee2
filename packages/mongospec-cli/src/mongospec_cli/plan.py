"""What would be created, changed or dropped, so that the database is what the classes say."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from mongospec_core import MongoDocument, OperationError
from mongospec_core.extension import (
    Binding,
    Declared,
    DeclaredCollection,
    DocumentBase,
    Operation,
    binding_of,
    changed_options,
    declared_by_collection,
    declared_collections,
    existing_indexes,
    existing_options,
    same_index,
    unchangeable,
)

type Action = Literal["create", "change", "rebuild", "replace", "hide", "drop"]
"""What a step does:

- "create": what is missing;
- "change": what MongoDB changes in place, by ``collMod``;
- "rebuild": another index is built beside the old one, then that is dropped;
- "replace": the old one is dropped first, because MongoDB cannot have both;
- "hide" and "drop": an index that no class declares; a validator is only dropped.
"""

GROWS = "reads and writes go on while it is built"
MOMENT = "the collection waits for a moment"
SCANS = "until it is built, queries that used it scan the collection"


class CollectionSize(msgspec.Struct, frozen=True):
    """How much there is in a collection.

    :param documents: how many documents, about.
    :param size: their bytes, uncompressed.
    """

    documents: int = 0
    size: int = 0


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change.

    :param action: what is done.
    :param collection: the collection's name.
    :param of: what is changed: an index, the options and the validator of the collection itself, or a
        validator that no class declares.
    :param name: the index's name, or the collection's.
    :param owner: the class that declares it; empty if none does.
    :param before: what exists, as ``listIndexes`` or ``listCollections`` has it; None if nothing does.
    :param after: what exists afterwards; None if nothing does.
    :param blocked: what has to wait meanwhile.
    :param size: of the collection.
    """

    action: Action
    collection: str
    of: Literal["index", "collection", "validator"] = "index"
    name: str
    owner: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    blocked: str
    size: CollectionSize = CollectionSize()


class Undeclared(msgspec.Struct, frozen=True, kw_only=True):
    """An index or a validator that no class declares.

    :param collection: the collection's name.
    :param index: as ``listIndexes`` has it; None if it is a validator.
    :param validator: the ``$jsonSchema``, as ``listCollections`` has it; None if it is an index.
    """

    collection: str
    index: dict[str, Any] | None = None
    validator: dict[str, Any] | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A difference that no step can mend.

    :param collection: the collection's name.
    :param text: what differs, and the way out.
    """

    collection: str
    text: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What separates a database from the classes.

    :param database: the database's name.
    :param steps: the changes, in the order in which they are made.
    :param undeclared: indexes and validators that no class declares, and that no step drops.
    :param problems: differences that no step can mend.
    """

    database: str
    steps: list[Step] = []
    undeclared: list[Undeclared] = []
    problems: list[Problem] = []

    @property
    def differs(self) -> bool:
        """Whether there is anything to do. Undeclared indexes and validators alone are not."""
        return bool(self.steps or self.problems)


async def plan(document_types: Iterable[type[MongoDocument]], *, drop: bool = False) -> Plan:
    """Compare the database with bound classes; change nothing.

    Sends ``listIndexes``, ``listCollections`` and ``collStats`` of each collection.

    :param document_types: bound classes; bind them with ``init(indexes="skip", validators="skip")``.
    :param drop: plan to drop the indexes and the validators that no class declares. An index that is
        visible is hidden first: the next plan drops it.
    :returns: the steps, and what is left alone.
    :raises NotBoundError: a class is not bound.
    :raises OperationError: the server refuses a command.

    .. code-block:: python

        async with connect(uri, document_types=[User], indexes="skip", validators="skip"):
            print((await plan([User])).differs)
    """
    bindings: dict[type[DocumentBase], Binding] = {cls: binding_of(cls) for cls in document_types}
    steps: list[Step] = []
    undeclared: list[Undeclared] = []
    problems: list[Problem] = []
    collections = {each.name: found for each, found in declared_collections(bindings, {})}
    name = ""
    for target, declared in declared_by_collection(bindings, {}):
        name = target.database.name
        call = Operation(target, f"{target.owner}: plan", {}, write=False)
        existing = await existing_indexes(call)
        collection = collections.get(target.name)
        options = await existing_options(call)
        size = CollectionSize() if not existing and options is None else await _size(call)
        if collection is not None:
            step, problem = _collection_step(target.name, collection, options, size)
            steps += step
            problems += problem
        found, others = _index_steps(target.name, declared, existing, size, drop=drop)
        steps += found
        undeclared += others
        if options is not None and (collection is None or not collection.validator):
            found, others = _validator_step(target.name, options, size, drop=drop)
            steps += found
            undeclared += others
    return Plan(database=name, steps=steps, undeclared=undeclared, problems=problems)


def _collection_step(
    name: str,
    declared: DeclaredCollection,
    existing: dict[str, Any] | None,
    size: CollectionSize,
) -> tuple[list[Step], list[Problem]]:
    """Return the step that changes the collection to what is declared, and what no step can change."""
    wanted = declared.options | declared.validator
    action: Action = "create"
    problems: list[Problem] = []
    if existing is not None:
        action = "change"
        changes, fixed = changed_options(wanted, existing)
        if fixed:
            text = unchangeable(declared, name, fixed, existing)
            problems.append(Problem(collection=name, text=text))
        if not changes:
            return [], problems
        both = {key: _over(existing.get(key), value) for key, value in changes.items()}
        wanted = {key: value for key, value in (existing | both).items() if value is not None}
    step = Step(
        action=action,
        collection=name,
        of="collection",
        name=name,
        owner=declared.owner,
        before=existing,
        after=wanted,
        blocked="nothing" if existing is None else MOMENT,
        size=size,
    )
    return [step], problems


def _validator_step(
    collection: str, existing: Mapping[str, Any], size: CollectionSize, *, drop: bool
) -> tuple[list[Step], list[Undeclared]]:
    """The step that drops the validator of a class that has lost its keyword.

    Only one that is a schema and nothing else can be of a class.
    """
    validator: dict[str, Any] = existing.get("validator") or {}
    if validator.keys() != {"$jsonSchema"}:
        return [], []
    if not drop:
        return [], [Undeclared(collection=collection, validator=validator)]
    step = Step(
        action="drop",
        collection=collection,
        of="validator",
        name=collection,
        before=validator,
        blocked=MOMENT,
        size=size,
    )
    return [step], []


def _over(existing: Any, declared: Any) -> Any:
    """An option as it will be listed: the server keeps what is not declared of a time series."""
    if isinstance(existing, dict) and isinstance(declared, dict) and "$jsonSchema" not in declared:
        return cast("dict[str, Any]", existing) | declared  # pyright: ignore[reportUnknownVariableType]
    return declared  # pyright: ignore[reportUnknownVariableType]


def _index_steps(
    collection: str,
    declared: Sequence[Declared],
    existing: Sequence[dict[str, Any]],
    size: CollectionSize,
    *,
    drop: bool,
) -> tuple[list[Step], list[Undeclared]]:
    steps: list[Step] = []
    others = [
        each for each in existing if list(each["key"]) != ["_id"] and not each.get("clustered")
    ]
    wanted: list[Declared] = []
    for each in declared:  # an equal index may have any name
        same = next((it for it in others if same_index(each.document, it)), None)
        if same is None:
            wanted.append(each)
        else:
            others.remove(same)
    by_name = {each["name"]: each for each in others}
    names = {each["name"] for each in existing} | {each.document["name"] for each in declared}
    for each in wanted:
        after, before = each.document, by_name.get(each.document["name"])
        before = before or next((it for it in others if _same_identity(after, it)), None)
        if before is not None:
            others.remove(before)
            by_name.pop(before["name"], None)
        action: Action = "create"
        blocked = GROWS if size.documents else "nothing"
        if before is not None:
            action = _way(before, after)
            blocked = {"change": MOMENT, "rebuild": GROWS, "replace": SCANS}[action]
            if action == "rebuild" and before["name"] == after["name"]:
                after = after | {"name": _free_name(after["name"], names)}
        steps.append(
            Step(
                action=action,
                collection=collection,
                name=before["name"] if before and action != "rebuild" else after["name"],
                owner=each.owner,
                before=before,
                after=after,
                blocked=blocked,
                size=size,
            )
        )
    if not drop:
        return steps, [Undeclared(collection=collection, index=each) for each in others]
    steps += [
        Step(
            action="drop" if index.get("hidden") else "hide",
            collection=collection,
            name=index["name"],
            before=index,
            after=None if index.get("hidden") else index | {"hidden": True},
            blocked=MOMENT,
            size=size,
        )
        for index in others
    ]
    return steps, []


_IN_PLACE = {"expireAfterSeconds", "hidden"}
"""What ``collMod`` changes."""
_IDENTITY = ("unique", "sparse", "collation", "partialFilterExpression", "wildcardProjection")
"""What MongoDB tells apart two indexes of one key by."""


def _way(before: Mapping[str, Any], after: Mapping[str, Any]) -> Action:
    """How one index becomes another."""
    if same_index(_without(before, _IN_PLACE), _without(after, _IN_PLACE)):
        seconds = "expireAfterSeconds"
        grows = seconds in before or len(after["key"]) == 1
        if seconds not in before.keys() - after.keys() and (seconds not in after or grows):
            return "change"
    return "replace" if _same_identity(after, before) or _is_text(before, after) else "rebuild"


def _without(index: Mapping[str, Any], options: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in index.items() if name not in options}


def _same_identity(declared: Mapping[str, Any], existing: Mapping[str, Any]) -> bool:
    """Whether MongoDB takes both for one index, so that it refuses the second."""
    names = ("key", "name", *_IDENTITY)
    return same_index(
        {name: declared[name] for name in names if name in declared},
        {name: existing[name] for name in names if name in existing},
    )


def _is_text(*indexes: Mapping[str, Any]) -> bool:
    """A collection has at most one text index."""
    return all("text" in index["key"].values() for index in indexes)


def _free_name(name: str, taken: set[str]) -> str:
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    taken.add(f"{name}_{number}")
    return f"{name}_{number}"


async def _size(call: Operation) -> CollectionSize:
    """How much is in the collection; nothing if the user may not know."""
    try:
        reply = await call.command({"collStats": call.target.name})
    except OperationError:
        return CollectionSize()
    numbers = cast("Mapping[str, Any]", reply)
    return CollectionSize(int(numbers.get("count", 0)), int(numbers.get("size", 0)))

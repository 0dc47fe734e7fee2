"""Make the changes of a plan, one after another."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from mongospec_cli.errors import OutdatedPlanError
from mongospec_cli.plan import Plan, Step
from mongospec_core import MongoDocument, OperationError
from mongospec_core.extension import (
    Operation,
    Target,
    binding_of,
    changed_options,
    coll_mod,
    existing_indexes,
    existing_options,
    same_index,
)

_INDEX_NOT_FOUND = 27
_NAMESPACE_EXISTS = 48
_POLL_SECONDS = 0.5
"""Seconds between two questions for the progress of an index build."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a plan.

    :param step: the step that is being made, or was made just now.
    :param number: which one it is, from 1.
    :param total: how many there are.
    :param finished: whether it is made.
    :param done: of an index build: how many documents are read; 0 if that is not known.
    :param of: of how many.
    """

    step: Step
    number: int
    total: int
    finished: bool = False
    done: int = 0
    of: int = 0


async def apply(
    plan: Plan,
    document_types: Iterable[type[MongoDocument]],
    *,
    on_progress: Callable[[Progress], object] | None = None,
) -> None:
    """Make the steps of a plan, in their order.

    What is as the plan wants it already is left as it is: it is safe to run it again, and by two at once.
    Cancelled or failed, the steps before are made; the server may go on with the one that was under way.

    :param plan: by :func:`plan`.
    :param document_types: the bound classes that it was made of.
    :param on_progress: called when a step begins, while it is made, and when it is made.
    :raises OutdatedPlanError: what a step would change is not what it was.
    :raises OperationError: the server refuses a step.

    .. code-block:: python

        async with connect(uri, document_types=[User], indexes="skip", validators="skip"):
            await apply(await plan([User]), [User])
    """
    targets = {binding_of(cls).target.name: binding_of(cls).target for cls in document_types}
    for number, step in enumerate(plan.steps, 1):

        def tell(*, step: Step = step, number: int = number, **more: Any) -> None:
            if on_progress is not None:
                on_progress(Progress(step=step, number=number, total=len(plan.steps), **more))

        tell()
        target = targets[step.collection]
        call = Operation(target, f"{step.owner or target.owner}: {step.action}", {}, write=True)
        async with _watched(call, step, tell):
            await _make(call.without_timeout(), step)
        tell(finished=True)


async def _make(call: Operation, step: Step) -> None:
    if step.of == "collection":
        await _make_collection(call, step)
        return
    if step.of == "validator":
        await _drop_validator(call, step)
        return
    if step.before is not None and await _is_made(call, step):
        return
    match step.action:
        case "create":
            await _create(call, step)
        case "rebuild":
            await _create(call, step)
            await _drop(call, step)
        case "replace":
            await _drop(call, step)
            await _create(call, step)
        case "change" | "hide":
            await call.command({"collMod": step.collection, "index": _change(step)})
        case "drop":
            await _drop(call, step)


async def _make_collection(call: Operation, step: Step) -> None:
    """Create the collection, or change its options and its validator.

    :raises OutdatedPlanError: it is neither what the plan saw nor what the plan wants.
    """
    wanted = step.after or {}
    existing = await existing_options(call)
    if existing is None and step.before is None:
        try:
            await call.command({"create": step.collection, **wanted})
        except OperationError as error:
            if error.code != _NAMESPACE_EXISTS:
                raise
            existing = await existing_options(call)  # of two at once, the other one was quicker
        else:
            return
    changes, fixed = changed_options(wanted, existing or {})
    if existing is not None and not changes and not fixed:
        return
    if existing is None or existing != step.before:
        raise OutdatedPlanError(
            f"the collection {step.collection!r} is not what it was when the plan was made: "
            f"{'it is gone' if existing is None else existing}; make a new plan"
        )
    await call.command(coll_mod(step.collection, changes))


async def _drop_validator(call: Operation, step: Step) -> None:
    """Drop the validator that no class declares.

    :raises OutdatedPlanError: there is another one now.
    """
    existing = (await existing_options(call) or {}).get("validator")
    if existing and existing != step.before:
        raise OutdatedPlanError(
            f"the validator of {step.collection!r} is not what it was when the plan was made: "
            f"{existing}; make a new plan"
        )
    if existing:
        await call.command(coll_mod(step.collection, {"validator": {}}))


async def _is_made(call: Operation, step: Step) -> bool:
    """Whether somebody has made the step since.

    :raises OutdatedPlanError: it is neither what the plan saw nor what the plan wants.
    """
    assert step.before is not None
    existing = await existing_indexes(call)
    there = next((each for each in existing if each["name"] == step.before["name"]), None)
    if there == step.before:
        return False
    after = step.after
    if after is None:
        if there is None:
            return True
    elif any(same_index(after, each) for each in existing):
        return True
    elif there is None and step.action in ("rebuild", "replace"):
        return False
    raise OutdatedPlanError(
        f"the index {step.before['name']!r} of {step.collection!r} is not what it was when the plan was "
        f"made: {there or 'it is gone'}; make a new plan"
    )


async def _create(call: Operation, step: Step) -> None:
    await call.command({"createIndexes": step.collection, "indexes": [step.after]})


async def _drop(call: Operation, step: Step) -> None:
    assert step.before is not None
    try:
        await call.command({"dropIndexes": step.collection, "index": step.before["name"]})
    except OperationError as error:
        if error.code != _INDEX_NOT_FOUND:  # of two at once, the other one was quicker
            raise


def _change(step: Step) -> dict[str, Any]:
    before, after = step.before or {}, step.after or {}
    changed = {
        name: after.get(name, False)
        for name in ("expireAfterSeconds", "hidden")
        if before.get(name) != after.get(name)
    }
    return {"name": before["name"], **changed}


# -- the progress of an index build


@asynccontextmanager
async def _watched(call: Operation, step: Step, tell: Callable[..., None]) -> AsyncGenerator[None]:
    if step.action not in ("create", "rebuild", "replace") or not step.size.documents:
        yield
        return
    watcher = asyncio.create_task(_watch(call, step, tell))
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.wait([watcher])


async def _watch(call: Operation, step: Step, tell: Callable[..., None]) -> None:
    target = call.target
    database = target.client["admin"]
    admin = Target(target.owner, database, "$cmd", target.codec, None)
    pipeline = build_pipeline(target.database.name, step)
    command: dict[str, Any] = {"aggregate": 1, "pipeline": pipeline, "cursor": {}}
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        try:
            reply = await Operation(admin, call.operation, {}, write=False).command(command)
        except OperationError:  # this user may not know
            return
        builds = [each["progress"] for each in reply["cursor"]["firstBatch"]]
        if builds:
            tell(
                done=sum(int(each["done"]) for each in builds),
                of=sum(int(each["total"]) for each in builds),
            )


def build_pipeline(database: str, step: Step) -> list[dict[str, Any]]:
    """Return the pipeline that finds the build of a step's index: on each shard, one operation."""
    build = {
        "command.createIndexes": step.collection,
        "command.$db": database,
        "command.indexes.name": (step.after or {}).get("name"),
        "progress.total": {"$gt": 0},
    }
    return [{"$currentOp": {"allUsers": True}}, {"$match": build}, {"$project": {"progress": 1}}]

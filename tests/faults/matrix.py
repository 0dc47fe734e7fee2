"""All cases of one operation, in parallel lanes."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from tests.faults.faults import (
    ANYWHEN,
    CODES,
    COMMIT_CODES,
    CONCERNS,
    TRANSIENT,
    TRANSPORT,
    UNKNOWN_COMMIT,
    Fault,
    Place,
    no_rule,
    refused,
)
from tests.faults.lane import Case, Lane
from tests.faults.operations import Row
from tests.faults.outcomes_page import FAULTS

type Task = tuple[Place, Fault, str]


def tasks_of(row: Row, places: Sequence[Place]) -> Iterator[Task]:
    """Every fault at every command; a user repeats it or saves later: what the server says, by turns."""
    alone = "transaction" not in row.name
    for number, place in enumerate(places):
        for fault in (*TRANSPORT, *ANYWHEN):
            whole = fault.rules in (no_rule, refused)
            if not (whole and number):
                yield place, fault, "repeat"
                yield place, fault, "save"
        commits = place.command == "commitTransaction"
        for turn, fault in enumerate((*CODES, *CONCERNS)):
            if alone and (TRANSIENT in fault.name or UNKNOWN_COMMIT in fault.name):
                continue
            if fault.code in COMMIT_CODES and not commits and not alone:
                continue
            yield place, fault, ("repeat", "save")[(turn + number) % 2]


ATTEMPTS = 3


async def run(
    row: Row, lanes: list[Lane], *, published: Mapping[str, Mapping[str, str]], only: str = ""
) -> tuple[list[Case], list[Exception]]:
    """All cases of an operation.

    What goes wrong is run twice more, the last time after a pause: a busy machine can be late for what a
    case should meet, and a transaction that a case left open conflicts with the next until the server ends it.

    :param published: the outcomes that are known.
    :returns: the cases, and what was found wrong.
    """
    names = await lanes[0].used_by(row)
    for lane in lanes:
        lane.names = names
    places, done = await lanes[0].golden(row)
    tasks = [task for task in tasks_of(row, places) if only in task[1].name]
    tasks.sort(key=lambda task: not task[1].slow)  # these wait for the driver, others run meanwhile
    waiting = iter(tasks)
    cases: list[Case] = []
    wrong: list[Exception] = []

    async def work(lane: Lane) -> None:
        for place, fault, then in waiting:
            for attempt in range(1, ATTEMPTS + 1):
                if attempt == ATTEMPTS:
                    await asyncio.sleep(2)
                try:
                    case = await lane.run(row, place, fault, done, then=then)
                except Exception as error:
                    lane.proxy.clear()
                    if attempt == ATTEMPTS:
                        error.add_note(f"{row.name}, {place}, {fault.name}, then {then}")
                        wrong.append(error)
                else:
                    expected = published.get(case.place, {}).get(case.fault, case.outcome)
                    if attempt == ATTEMPTS or case.outcome == expected:
                        cases.append(case)
                        break

    async with asyncio.TaskGroup() as group:
        for lane in lanes:
            group.create_task(work(lane))
    return cases, wrong


def outcomes(cases: Sequence[Case]) -> dict[str, dict[str, str]]:
    """The outcomes of an operation: by its commands, by the faults that they met, in the order of the faults.

    What a user does next makes no difference, and a cancellation at any turn of the loop may come before or after.
    """
    found: dict[str, dict[str, set[str]]] = {}
    for case in cases:
        found.setdefault(case.place, {}).setdefault(case.fault, set()).add(case.outcome)
    return {
        place: {
            fault: " or ".join(sorted(found[place][fault]))
            for fault in FAULTS
            if fault in found[place]
        }
        for place in sorted(found, key=lambda place: int(place.partition(".")[0]))
    }

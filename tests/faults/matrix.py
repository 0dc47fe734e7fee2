"""All cases of one operation, in parallel lanes."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

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
from tests.faults.lane import Case, FoundError, Lane, UnsettledError
from tests.faults.operations import Row
from tests.faults.outcomes_page import FAULTS

type Task = tuple[Place, Fault, str]


@dataclass
class Findings:
    """What a run found.

    :ivar timed: how many cases depend on time.
    :ivar repeated: what was wrong with cases that were repeated, and succeeded then or are in ``wrong`` as well.
    """

    cases: list[Case] = field(default_factory=list)
    wrong: list[Exception] = field(default_factory=list)
    repeated: list[Exception] = field(default_factory=list)
    timed: int = 0


class OutcomeError(FoundError):
    """A case reported another outcome than the published one."""

    def __init__(self, case: Case, expected: str) -> None:
        super().__init__(f"{case.row}, {case.place}, {case.fault}: {case.outcome}, not {expected}")
        self.case = case


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
"""How often a late case is repeated at most, until it has succeeded twice."""


async def run(
    row: Row, lanes: list[Lane], *, published: Mapping[str, Mapping[str, str]], only: str = ""
) -> Findings:
    """All cases of an operation.

    A case whose result depends on time is repeated if it fails: a busy machine can be late for what it should
    meet, and what an earlier case left open is in its way until the server ends it. It is repeated alone, when all
    others have ended, and must succeed twice then.

    :param published: the outcomes that are known.
    """
    golden = await lanes[0].golden(row)
    tasks = [task for task in tasks_of(row, golden.places) if only in task[1].name]
    # Half of the lanes begin with cases that wait for the driver, the others compute meanwhile.
    slow = iter([task for task in tasks if task[1].slow])
    quick = iter([task for task in tasks if not task[1].slow])
    found = Findings(timed=sum(task[1].timed for task in tasks))
    late: list[Task] = []

    async def case_of(lane: Lane, place: Place, fault: Fault, then: str) -> Case:
        try:
            case = await lane.run(row, place, fault, golden, then=then)
        except Exception as error:
            lane.proxy.clear()
            error.add_note(f"{row.name}, {place}, {fault.name}, then {then}")
            raise
        expected = published.get(case.place, {}).get(case.fault, case.outcome)
        if case.outcome != expected:
            raise OutcomeError(case, expected)
        return case

    def note(error: Exception) -> None:
        if isinstance(error, OutcomeError):  # the whole of the outcomes shows it
            found.cases.append(error.case)
        else:
            found.wrong.append(error)

    async def work(lane: Lane, waiting: Iterator[Task]) -> None:
        for place, fault, then in waiting:
            try:
                found.cases.append(await case_of(lane, place, fault, then))
            except Exception as error:
                if fault.timed or isinstance(error, UnsettledError):
                    found.repeated.append(error)
                    late.append((place, fault, then))
                else:
                    note(error)

    async def repeat(place: Place, fault: Fault, then: str) -> None:
        succeeded: list[Case] = []
        failed: list[Exception] = []
        for attempt in range(ATTEMPTS):
            lane = lanes[attempt % len(lanes)]
            try:
                succeeded.append(await case_of(lane, place, fault, then))
            except (OutcomeError, UnsettledError) as error:
                failed.append(error)
            except Exception as error:
                note(error)
                return
            if len(succeeded) == 2:
                found.cases.append(succeeded[0])
                return
        note(failed[0])

    async with asyncio.TaskGroup() as group:
        for number, lane in enumerate(lanes):
            order = chain(slow, quick) if number % 2 else chain(quick, slow)
            group.create_task(work(lane, order))
    for task in late:
        await repeat(*task)
    return found


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

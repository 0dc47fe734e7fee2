"""The published outcomes: the data that a run of the matrix leaves, and the page that is made of it."""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path

from tests.faults.faults import CODES, CONCERNS, TRANSPORT
from tests.faults.operations import ROWS

type Outcomes = dict[str, dict[str, dict[str, str]]]
"""By the operation, by its command, by the fault."""

DATA = Path(__file__).parent / "outcomes.json"
PAGE = Path(__file__).parents[2] / "docs" / "guides" / "outcomes.md"

FAULTS = [fault.name for fault in (*TRANSPORT, *CODES, *CONCERNS)]
LETTERS = {"d": "done", "a": "applied", "p": "partial", "n": "not_applied", "u": "unknown"}

HEAD = """\
# What a fault leaves

Every write operation meets every fault at each of its commands, in the tests: connections that are refused or cut, replies that are
lost, halved or late, cancellations, and every error code and label of MongoDB's specifications of retryable writes and of
transactions. After each it is checked that database and objects agree with what was reported, that a later `save()` neither loses
nor brings back anything, that a repetition as [Errors and outcomes](errors.md) allows it stores nothing twice, and that nothing
hangs or is left open. The tables are what these runs reported; a run that reports something else fails.

`done` is a call that returned. The other words are the `outcome` of its error. "Once" means that a second attempt, by the driver or
by mongospec, gets through; without it, none does. "Hung" and "stalled" are a server that does not answer within the operation's
`timeout=`, or within the second that a cancelled write is waited for; "late" means that the command arrives after all.
"""


def load() -> Outcomes:
    """The outcomes as they are published."""
    if not DATA.exists():
        return {}
    stored: dict[str, dict[str, str]] = json.loads(DATA.read_text(encoding="utf-8"))
    return {
        operation: {place: _read(letters) for place, letters in commands.items()}
        for operation, commands in stored.items()
    }


def _read(letters: str) -> dict[str, str]:
    return {
        name: LETTERS[letter] for name, letter in zip(FAULTS, letters, strict=True) if letter != "-"
    }


def _letters(found: Mapping[str, str]) -> str:
    """The outcomes of one command, a letter for each fault."""
    letter_of = {outcome: letter for letter, outcome in LETTERS.items()}
    return "".join(letter_of[found[name]] if name in found else "-" for name in FAULTS)


def write(operation: str, found: dict[str, dict[str, str]]) -> None:
    """Publish the outcomes of one operation; several processes may do so at once."""
    with (DATA.parent / "__init__.py").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        every = {**load(), operation: found}
        outcomes = {row.name: every[row.name] for row in ROWS if row.name in every}
        stored = {
            row: {place: _letters(found) for place, found in commands.items()}
            for row, commands in outcomes.items()
        }
        DATA.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(outcomes), encoding="utf-8")


def page(outcomes: Outcomes) -> str:
    """The page, with one table for all commands that meet the same faults with the same outcomes."""
    profiles: dict[str, list[str]] = {}
    for operation, commands in outcomes.items():
        for place, found in commands.items():
            profiles.setdefault(_tables(found), []).append(_named(operation, place, commands))
    parts = [HEAD]
    for table, names in sorted(profiles.items(), key=lambda each: -len(each[1])):
        parts += [f"## {_title(names)}", "\n".join(f"- {name}" for name in names) + "\n", table]
    return "\n".join(parts)


def _title(names: list[str]) -> str:
    return f"{names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _named(operation: str, place: str, commands: Mapping[str, object]) -> str:
    return operation if len(commands) == 1 else f"{operation}: command {place}"


def _tables(found: Mapping[str, str]) -> str:
    lines = ["| Fault | Outcome |", "|---|---|"]
    lines += [
        f"| {fault.name} | `{found[fault.name]}` |" for fault in TRANSPORT if fault.name in found
    ]
    said: dict[str, list[str]] = {}
    for fault in (*CODES, *CONCERNS):
        if fault.name in found:
            said.setdefault(found[fault.name], []).append(fault.name)
    lines += ["", "| Outcome | What the server says |", "|---|---|"]
    lines += [f"| `{outcome}` | {_codes(names)} |" for outcome, names in said.items()]
    return "\n".join(lines) + "\n"


def _codes(names: list[str]) -> str:
    """Codes, by what is said with them."""
    by_words: dict[str, list[str]] = {}
    for name in names:
        code = next(word for word in name.replace(",", "").split() if word.isdigit())
        words = name.replace(f" {code}", "", 1)
        by_words.setdefault(words, []).append(code)
    return "; ".join(f"{words}: {', '.join(codes)}" for words, codes in by_words.items())

"""Write the results of ``audit`` and ``upgrade`` for a terminal."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from mongospec_cli.batches import ReadProgress
from mongospec_cli.findings import (
    Audit,
    Dangling,
    LaxValue,
    OldDocuments,
    UndeclaredField,
    Unreadable,
)
from mongospec_cli.upgrade import Upgrade
from mongospec_core.extension import shown

type Group = Unreadable | Dangling | OldDocuments | LaxValue | UndeclaredField

_SHOWN = 3
"""How many examples stand in a line."""


@contextmanager
def read_progress(console: Console) -> Generator[Callable[[ReadProgress], None]]:
    """Show the progress of a read: a bar for each class; nothing without a terminal."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    tasks: dict[str, Any] = {}

    def show(progress: ReadProgress) -> None:
        owner = progress.owner
        if owner not in tasks:
            tasks[owner] = bar.add_task(owner, total=progress.total, rate="")
        task = bar.tasks[tasks[owner]]
        rate = f"{task.speed:,.0f} per second" if task.speed else ""
        total = max(progress.total, progress.documents)  # some may have come since
        bar.update(tasks[owner], completed=progress.documents, total=total, rate=rate)

    with bar:
        yield show


def show_audit(console: Console, audit: Audit) -> None:
    """Write what was found: a line for each kind, under the name of its class."""
    for read in audit.read:
        count = plural(read.documents, "document")
        console.print(
            Text.assemble((read.owner, "bold"), "  ", (f"{read.collection}, {count}", "dim"))
        )
        groups: list[Group] = [
            *audit.unreadable,
            *audit.dangling,
            *audit.old,
            *audit.lax,
            *audit.undeclared,
        ]
        for each in groups:
            if each.owner == read.owner:
                console.print(_line(each))
    console.print(Text(_sum(audit), "bold"))


def show_upgrade(console: Console, done: Upgrade) -> None:
    """Write what was upgraded: a line for each class, and one for each reason to leave documents."""
    for each in done.collections:
        read, old = plural(each.documents, "document"), plural(each.old, "old one")
        sent = "nothing written" if done.dry_run else f"{each.written:,} written"
        console.print(
            Text.assemble((each.owner, "bold"), f"  {old}, {sent}", (f"  ({read} read)", "dim"))
        )
    for left in done.left:
        what = f"  ! left {left.owner}: {left.reason}"
        console.print(_finding(what, "red", plural(left.count, "document"), left.examples))
    if not done.collections:
        console.print(Text(f"{done.database}: no class has an __upgrade__"))


def _line(found: Group) -> Text:
    match found:
        case Unreadable(path=path, reason=reason):
            what = f"  ! unreadable {path}: {reason}" if path else f"  ! unreadable: {reason}"
            return _finding(what, "red", plural(found.count, "document"), found.examples)
        case Dangling(path=path, target=target):
            examples = [f"{shown(each)} -> {shown(missing)}" for each, missing in found.examples]
            what = f"  ! dangling {path} -> {target}"
            return _finding(what, "red", plural(found.count, "reference"), examples, ready=True)
        case OldDocuments(fields=fields, stable=stable):
            what = f"  ~ upgraded {', '.join(fields)}"
            if not stable:
                what += " (and again whenever it is read)"
            return _finding(what, "yellow", plural(found.count, "document"), found.examples)
        case LaxValue(path=path, stored=stored, written=written):
            what = f"  ~ lax {path}: stored as {stored}, the class writes {written}"
            return _finding(what, "yellow", plural(found.count, "value"), found.examples)
        case UndeclaredField(path=path, types=types):
            kinds = ", ".join(f"{name} {count:,}" for name, count in types.items())
            return _finding(f"  ? undeclared {path}", "cyan", kinds, found.examples)


def _finding(
    what: str, colour: str, count: str, examples: Sequence[Any], *, ready: bool = False
) -> Text:
    names = [each if ready else shown(each) for each in examples[:_SHOWN]]
    more = ", ..." if len(examples) > _SHOWN else ""
    return Text.assemble((what, colour), f"  {count}", (f"  ({', '.join(names)}{more})", "dim"))


def plural(number: int, noun: str) -> str:
    """``1 document``, ``12,044 documents``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _sum(audit: Audit) -> str:
    parts = [
        f"{plural(_count(audit.unreadable), 'document')} cannot be read"
        if audit.unreadable
        else "",
        plural(_count(audit.dangling), "dangling reference") if audit.dangling else "",
        f"{plural(_count(audit.old), 'document')} to upgrade" if audit.old else "",
        plural(_count(audit.lax), "lax value") if audit.lax else "",
        plural(len(audit.undeclared), "undeclared field") if audit.undeclared else "",
    ]
    read = plural(sum(each.documents for each in audit.read), "document") + " read"
    if not audit.finished:
        read += " so far"
    found = ", ".join(filter(None, parts))
    return f"{audit.database}: {read}, {found or 'all of them fit'}"


def _count(groups: Iterable[Group]) -> int:
    return sum(each.count for each in groups)

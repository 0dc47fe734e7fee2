"""Write a plan and its progress for a terminal."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from itertools import groupby
from typing import Any, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as ProgressBar
from rich.text import Text

from mongospec_cli.apply import Progress
from mongospec_cli.plan import CollectionSize, Plan, Step

_SIGNS = {
    "create": ("+", "green"),
    "change": ("~", "yellow"),
    "rebuild": ("~", "yellow"),
    "replace": ("~", "yellow"),
    "hide": ("-", "red"),
    "drop": ("-", "red"),
}


def console_for(*, stderr: bool = False) -> Console:
    """A console that neither wraps nor colours what goes into a file or a pipe."""
    console = Console(stderr=stderr, highlight=False)
    console.soft_wrap = True
    return console


def show_plan(console: Console, plan: Plan) -> None:
    """Write a plan like a diff: a line for each change, under the name of its collection."""
    for collection, steps in groupby(plan.steps, lambda step: step.collection):
        found = list(steps)
        console.print(Text.assemble((collection, "bold"), "  ", (shown_size(found[0].size), "dim")))
        for step in found:
            console.print(step_line(step))
    for problem in plan.problems:
        console.print(Text.assemble(("! ", "bold red"), f"{problem.collection}: {problem.text}"))
    for each in plan.undeclared:
        what = "validator $jsonSchema" if each.index is None else f"index {shown_index(each.index)}"
        line = f"? {each.collection}: no class declares the {what}"
        console.print(Text.assemble((line, "dim")))
    if plan.undeclared:
        console.print(Text("  --drop removes these; an index is hidden first", "dim"))
    console.print(Text(_sum(plan), "bold"))


@contextmanager
def step_progress(console: Console | None) -> Generator[Callable[[Progress], None]]:
    """Show the progress of a plan: a line for each step that is made, and a bar if there is a terminal.

    :param console: where to; None: show nothing.
    """
    if console is None:
        yield lambda progress: None
        return
    stderr = console_for(stderr=True)
    bar = ProgressBar(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=stderr,
        transient=True,
        disable=not stderr.is_terminal,
    )
    task = bar.add_task("", total=None)

    def show(progress: Progress) -> None:
        step = progress.step
        name = f"{step.action} {step.collection}"
        if step.of == "index":
            name += f".{step.name}"
        elif step.of == "validator":
            name = f"{step.action} the validator of {step.collection}"
        bar.update(
            task, description=name, completed=progress.done, total=progress.of or None, refresh=True
        )
        if progress.finished:
            console.print(
                Text.assemble(("ok ", "green"), f"{progress.number}/{progress.total} {name}")
            )

    with bar:
        yield show


def step_line(step: Step) -> Text:
    """One change in one line."""
    sign, colour = _SIGNS[step.action]
    before, after = step.before, step.after or {}
    if step.of == "collection":
        what = "".join(f" {name}={_word(value)}" for name, value in after.items())
        what = what if before is None else f" {', '.join(_changes(before, after))}"
    elif step.of == "validator":
        what = " $jsonSchema"
    else:
        what = f" {shown_index(step.after or before or {}, full=before is None)}"
        if before is not None and step.after is not None:
            what += f"  {_difference(before, step.after)}"
    owner = f"  {step.owner}" if step.owner else ""
    return Text.assemble(
        (f"  {sign} {step.action} {step.of}{what}", colour),
        owner,
        (f"  ({step.blocked})", "dim"),
    )


def shown_index(index: Mapping[str, Any], *, full: bool = True) -> str:
    """An index as its name, its key and, if *full*, its options."""
    key = ", ".join(f"{field}: {way}" for field, way in index["key"].items())
    options = _options(index)
    more = "".join(f" {name}={value}" for name, value in options.items()) if full else ""
    return f"{index['name']} {{{key}}}{more}"


def shown_size(size: CollectionSize) -> str:
    """``12,044 documents, 3.1 MB``."""
    if not size.documents:
        return "empty"
    return f"{size.documents:,} document{'s' if size.documents > 1 else ''}, {_bytes(size.size)}"


def _bytes(number: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}" if unit != "B" else f"{int(number)} B"
        number /= 1000
    return f"{number:.3g} TB"


def _options(index: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in index.items() if name not in ("key", "name", "v", "ns")}


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    parts: list[str] = []
    if list(before["key"].items()) != list(after["key"].items()):
        parts.append(f"instead of {shown_index(before, full=False)}")
    return ", ".join(parts + _changes(_options(before), _options(after)))


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} {_word(old.get(name))} -> {_word(new.get(name))}"
        if _word(old.get(name)) != _word(new.get(name))
        else f"{name} changed"
        for name in _in_order(old, new)
        if old.get(name) != new.get(name)
    ]


def _in_order(*options: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for each in options for name in each))


def _word(value: Any) -> str:
    if isinstance(value, Mapping) and "$jsonSchema" in value:
        return "$jsonSchema"  # `mongospec schema` shows it
    return "none" if value is None else str(cast("object", value))


def _sum(plan: Plan) -> str:
    if not plan.differs:
        return f"{plan.database}: nothing to change"
    number = len(plan.steps)
    text = f"{number} change{'s' if number != 1 else ''}"
    if plan.problems:
        text += f", {len(plan.problems)} for you to decide"
    return f"{plan.database}: {text}"

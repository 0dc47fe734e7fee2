"""The command ``mongospec``.

A command is a function that ``@app.command`` takes: parse, call the typed function of its module in
:func:`connected`, write the result by report.py or, with ``--json``, by :func:`_write_json`, return the
exit code. What it raises becomes one line and exit code 2 in :func:`main`.
"""

import asyncio
import importlib.metadata
import shlex
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.prompt import Confirm
from rich.text import Text

from mongospec_cli.apply import Progress, apply
from mongospec_cli.audit import audit
from mongospec_cli.batches import Position, ReadProgress
from mongospec_cli.connection import connected, open_database
from mongospec_cli.document_report import read_progress, show_audit, show_upgrade
from mongospec_cli.errors import CommandError
from mongospec_cli.findings import Audit
from mongospec_cli.new_models import new_models
from mongospec_cli.plan import Plan, Step, plan
from mongospec_cli.report import console_for, show_plan, step_progress
from mongospec_cli.schema import json_schema as json_schema_of
from mongospec_cli.schema import schema
from mongospec_cli.settings import read_settings
from mongospec_cli.targets import find_document_types
from mongospec_cli.upgrade import Upgrade, upgrade
from mongospec_core import (
    MongoDocument,
    MongospecError,
    OperationError,
    ServerUnavailableError,
    enc_hook,
)

OK, DIFFERENT, FAILED, INTERRUPTED = 0, 1, 2, 128 + signal.SIGINT
"""The exit codes: all is well; there are differences; it could not run; Ctrl-C."""

_ADVICE: dict[int | None, str] = {
    13: "give the user a role with this right: read for audit, readWrite for upgrade, dbAdmin as well "
    "for plan and apply",
    18: "check the user, the password and authSource of the URI",
}
"""What to do about an error of the server, by its code."""
_UNREACHED = "check that the server runs, and the host and the port of the URI"

app = App(
    name="mongospec",
    help="Tell whether the database is what the document classes say, and make it so.",
    version=importlib.metadata.version("mongospec-cli"),
    help_flags=["--help", "-h"],
    suppress_keyboard_interrupt=False,  # main() says it in a line
)

type Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
"""A switch without its ``--no-`` twin."""
type Targets = Annotated[Sequence[str], Parameter(show_default=False)]
"""What the classes are found in: packages and modules."""


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """What every command takes.

    :param uri: the server's URI.
    :param database: the database's name; without it, the name in the URI, else ``database`` of the
        settings, else the name in their ``uri``.
    :param json: write the result as JSON.
    :param debug: show the traceback of an error.
    """

    uri: Annotated[str | None, Parameter(env_var="MONGODB_URI")] = None
    database: str | None = None
    json: Flag = False
    debug: Flag = False


_COMMON = Common()


@app.command(name="plan")
def plan_command(
    targets: Targets = (),
    /,
    *,
    check: Flag = False,
    drop: Flag = False,
    common: Common = _COMMON,
) -> int:
    """Show what would be created, changed or dropped. Change nothing.

    :param targets: packages and modules with document classes, like ``myapp.models``.
    :param check: exit with 1 if there is anything to change.
    :param drop: plan to hide, then to drop what no class declares.
    """
    found = asyncio.run(_plan(targets, common, drop=drop))
    if common.json:
        _write_json(found)
    else:
        show_plan(console_for(), found)
    return DIFFERENT if check and found.differs else OK


async def _plan(targets: Sequence[str], common: Common, *, drop: bool) -> Plan:
    async with connected(targets, common.uri, common.database) as document_types:
        return await plan(document_types, drop=drop)


@app.command(name="apply")
def apply_command(
    targets: Targets = (),
    /,
    *,
    yes: Flag = False,
    drop: Flag = False,
    common: Common = _COMMON,
) -> int:
    """Make the changes that ``plan`` shows, one after another. Ask first.

    :param targets: packages and modules with document classes, like ``myapp.models``.
    :param yes: do not ask.
    :param drop: hide, then drop what no class declares.
    """
    if not yes and (common.json or not sys.stdin.isatty()):
        raise CommandError("apply asks before it changes anything: without a terminal, give --yes")
    found = asyncio.run(_plan(targets, common, drop=drop))
    console = console_for()
    if not common.json:
        show_plan(console, found)
    # Asked outside of the event loop, which would keep Ctrl-C to itself until there is an answer.
    if found.steps and not yes and not Confirm.ask("Make these changes?", console=console):
        console.print("nothing was changed")
        return DIFFERENT
    made: list[Step] = []
    try:
        if found.steps:
            asyncio.run(_apply(targets, common, found, made))
    finally:
        if common.json:
            _write_json({"plan": found, "made": made})
        elif found.steps:
            console.print(f"{len(made)} of {len(found.steps)} changes were made")
    return DIFFERENT if found.problems else OK


async def _apply(targets: Sequence[str], common: Common, found: Plan, made: list[Step]) -> None:
    async with connected(targets, common.uri, common.database) as document_types:
        with step_progress(None if common.json else console_for()) as show:

            def note(progress: Progress) -> None:
                if progress.finished:
                    made.append(progress.step)
                show(progress)

            await apply(found, document_types, on_progress=note)


@app.command(name="schema")
def schema_command(
    targets: Targets = (),
    /,
    *,
    json_schema: Flag = False,
    common: Common = _COMMON,
) -> int:
    """Print MongoDB's ``$jsonSchema`` of each collection, as JSON. Ask no server.

    :param targets: packages and modules with document classes, like ``myapp.models``.
    :param json_schema: print JSON Schema instead, of the JSON that documents become.
    """
    document_types = find_document_types(targets)
    _write_json(json_schema_of(document_types) if json_schema else schema(document_types), indent=2)
    return OK


@app.command(name="audit")
def audit_command(
    targets: Targets = (),
    /,
    *,
    sample: Annotated[int | None, Parameter(validator=Number(gte=1))] = None,
    after: str | None = None,
    rate: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    strict: Flag = False,
    common: Common = _COMMON,
) -> int:
    """Tell which stored documents do not fit the classes. Change nothing.

    Exit with 1 if there are documents that a read refuses, or dangling references.

    :param targets: packages and modules with document classes, like ``myapp.models``.
    :param sample: read so many documents of each collection, picked at random.
    :param after: go on after a document: CLASS:ID, as a run that was interrupted prints it.
    :param rate: read no more documents a second than this.
    :param strict: exit with 1 as well if there are documents to upgrade, lax values or undeclared fields.
    """
    found = Audit(database="")
    work = partial(audit, sample=sample, after=_position(after), rate=rate, into=found)
    _read_documents(targets, common, found, work, show_audit)
    differs = not found.fits or (strict and bool(found.old or found.lax or found.undeclared))
    return DIFFERENT if differs else OK


@app.command(name="upgrade")
def upgrade_command(
    targets: Targets = (),
    /,
    *,
    dry_run: Flag = False,
    after: str | None = None,
    rate: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    common: Common = _COMMON,
) -> int:
    """Write back what ``__upgrade__`` makes of old documents.

    Exit with 1 if documents were left as they are.

    :param targets: packages and modules with document classes, like ``myapp.models``.
    :param dry_run: write nothing; exit with 1 if there is something to write.
    :param after: go on after a document: CLASS:ID, as a run that was interrupted prints it.
    :param rate: read no more documents a second than this.
    """
    done = Upgrade(database="")
    work = partial(upgrade, dry_run=dry_run, after=_position(after), rate=rate, into=done)
    _read_documents(targets, common, done, work, show_upgrade)
    return OK if done.complete else DIFFERENT


@app.command(name="new-models")
def new_models_command(
    *,
    sample: Annotated[int, Parameter(validator=Number(gte=1))] = 1_000,
    common: Common = _COMMON,
) -> int:
    """Write document classes for a database that has documents: a start, to be read.

    :param sample: how many documents of each collection are read.
    """

    async def run() -> str:
        settings = read_settings(Path.cwd())
        async with open_database(common.uri, common.database, settings) as database:
            return await new_models(database, sample=sample)

    source = asyncio.run(run())
    if common.json:
        _write_json({"source": source})
    else:
        sys.stdout.write(source)
    return OK


def _position(after: str | None) -> Position | None:
    return None if after is None else Position.parse(after)


class _Work(Protocol):
    """What reads documents, and adds what it finds to a result."""

    def __call__(
        self,
        document_types: Sequence[type[MongoDocument]],
        *,
        on_progress: Callable[[ReadProgress], object],
    ) -> Awaitable[object]: ...


def _read_documents[R: (Audit, Upgrade)](
    targets: Sequence[str],
    common: Common,
    result: R,
    work: _Work,
    show: Callable[[Console, R], None],
) -> None:
    """Do *work*, and write its *result*; if it is interrupted or fails, what there is of it."""

    async def run() -> None:
        async with connected(targets, common.uri, common.database) as document_types:
            with read_progress(console_for(stderr=True)) as on_progress, _resumable(result):
                await work(document_types, on_progress=on_progress)

    try:
        asyncio.run(run())
    finally:
        if _has_begun(result):
            if common.json:
                _write_json(result)
            else:
                show(console_for(), result)


def _has_begun(result: Audit | Upgrade) -> bool:
    if isinstance(result, Audit):
        return result.finished or any(each.documents for each in result.read)
    return result.finished or any(each.documents or each.written for each in result.collections)


@contextmanager
def _resumable(result: Audit | Upgrade) -> Generator[None]:
    """If what reads documents is interrupted or fails, write how to go on."""
    try:
        yield
    except BaseException:
        if result.after is not None:
            line = f"done up to {result.after}; go on with --after {shlex.quote(result.after)}"
            console_for(stderr=True).print(Text(line))
        raise


def _write_json(value: Any, *, indent: int = -1) -> None:
    data = msgspec.json.encode(value, enc_hook=enc_hook)
    sys.stdout.write(msgspec.json.format(data, indent=indent).decode() + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    :param arguments: the command line; without it, the process's own.
    :returns: the exit code: 0 if all is well, 1 if there are differences, 2 if it could not run,
        130 after Ctrl-C.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        result: Any = app(
            tokens, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except (MongospecError, CycloptsError) as error:
        if "--debug" in tokens:
            traceback.print_exc()
        return _complain(f"{error}{_advice(error)}", FAILED)
    except Exception as error:  # noqa: BLE001 - nothing that goes wrong shows a traceback unasked
        if "--debug" in tokens:
            traceback.print_exc()
        return _complain(f"{type(error).__name__}: {error} (--debug shows the traceback)", FAILED)
    return result if isinstance(result, int) else OK


def _advice(error: Exception) -> str:
    """What to do about what a server or the network refuses."""
    advice = _ADVICE.get(error.code) if isinstance(error, OperationError) else None
    if isinstance(error, ServerUnavailableError):
        advice = _UNREACHED
    return f"; {advice}" if advice else ""


def _complain(message: str, status: int) -> int:
    line = " ".join(message.split())
    console_for(stderr=True).print(Text.assemble(("mongospec: ", "bold red"), line))
    return status

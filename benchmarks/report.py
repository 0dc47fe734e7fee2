"""The figures as a table for people, or as JSON for programs."""

import datetime as dt
import platform
from importlib.metadata import version
from typing import NamedTuple

import msgspec

from benchmarks.imports import Imports
from benchmarks.measure import Row
from benchmarks.stored_form import StoredForm

IMPORT_AIM = 30
STORED_FORM_AIM = StoredForm(1, 200)
PACKAGES = ("mongospec-core", "mongojet", "msgspec", "pymongo")


class Report(NamedTuple):
    """All that one run has measured, and how."""

    documents: int
    singles: int
    rounds: int
    server: str
    rows: list[Row]
    stored_form: StoredForm
    imports: Imports


def to_json(report: Report) -> str:
    return msgspec.json.encode(
        {
            "ratios": {row.name: row.ratio for row in report.rows},
            "stored_form": report.stored_form._asdict(),
            "imports": report.imports._asdict(),
        }
    ).decode()


def to_markdown(report: Report) -> str:
    return "\n".join((_conditions(report), "", *_table(report), "", *_others(report)))


def _conditions(report: Report) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{dt.datetime.now(dt.UTC):%Y-%m-%d}, Python {platform.python_version()}, {packages}; "
        f"server {report.server}; {platform.machine()}; {report.rounds} rounds, "
        f"{report.documents:,} documents, {report.singles} single operations in each turn"
    )


def _table(report: Report) -> list[str]:
    head = "| work | mongospec, µs | mongojet, µs | ratio | quartiles | aim |"
    rows = [
        f"| {row.name} | {row.ours:.2f} | {row.driver:.2f} | {row.ratio:.2f} "
        f"| {row.low:.2f} - {row.high:.2f} | {row.aim} |"
        for row in report.rows
    ]
    return [head, "|---|---:|---:|---:|---:|---:|", *rows]


def _others(report: Report) -> list[str]:
    form, imports = report.stored_form, report.imports
    stored_form = (
        f"- stored form on find_all, a document: {form.microseconds:.2f} µs "
        f"(aim: under {STORED_FORM_AIM.microseconds}), {form.bytes:.0f} bytes "
        f"(aim: under {STORED_FORM_AIM.bytes})"
    )
    importing = (
        f"- `import mongospec_core`: {imports.ours:.0f} ms, `import mongojet`: "
        f"{imports.driver:.0f} ms; {imports.over_driver:.0f} ms more "
        f"({imports.over_driver_cpu:.0f} ms of CPU; aim: {IMPORT_AIM} at most), "
        f"{imports.over_driver_in_use:.0f} ms more than `import asyncio, mongojet`"
    )
    return [stored_form, importing]

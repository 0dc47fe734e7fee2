"""Compare mongospec with the driver below it: ``make bench``, or

    mongospec-server -- python -m benchmarks.run [--quick] [--rounds N] [--json]

The server is the one that MONGODB_URI names: a process of its own, or its CPU would count as ours.
"""

import argparse
import asyncio
import os
import uuid

import mongojet

from benchmarks.documents import Newcomer, Person
from benchmarks.imports import compare_imports
from benchmarks.measure import compare
from benchmarks.report import Report, to_json, to_markdown
from benchmarks.stored_form import cost_of_stored_form
from benchmarks.tasks import tasks
from mongospec_core import close, init


async def measure(uri: str, documents: int, singles: int, rounds: int) -> Report:
    """Run everything in a database that is dropped at the end."""
    client = await mongojet.create_client(uri)
    db = client[f"benchmark_{uuid.uuid4().hex[:8]}"]
    try:
        await init(db, document_types=[Person, Newcomer])
        rows = [await compare(task, rounds) for task in await tasks(db, documents, singles)]
        stored_form = await cost_of_stored_form(rounds)
        version = (await db.run_command({"buildInfo": 1}))["version"]
    finally:
        await db.drop()
        await close()
    imports = compare_imports(rounds)
    return Report(documents, singles, rounds, str(version), rows, stored_form, imports)


def main() -> None:
    parser = argparse.ArgumentParser(description="compare mongospec with mongojet")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each way (default: 15)")
    parser.add_argument("--quick", action="store_true", help="see in seconds that it runs")
    parser.add_argument("--json", action="store_true", help="figures for programs")
    options = parser.parse_args()
    documents, singles, rounds = (200, 20, 2) if options.quick else (10_000, 500, options.rounds)
    uri = os.environ.get("MONGODB_URI")
    if uri is None:
        parser.error(
            "set MONGODB_URI, for example by: mongospec-server -- python -m benchmarks.run"
        )
    report = asyncio.run(measure(uri, documents, singles, rounds))
    print(to_json(report) if options.json else to_markdown(report))


if __name__ == "__main__":
    main()

"""The benchmarks run and check what they measure; the figures are for a quiet machine."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bson
import mongojet
import pytest

from benchmarks.data import identity, person
from benchmarks.measure import (
    OURS,
    RAW,
    Contender,
    Sample,
    Samples,
    Worker,
    WrongError,
    check,
    workers,
)
from benchmarks.plot import Bar, Panel, svg
from benchmarks.rows import ROWS
from benchmarks.server import control, running

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running() as port:
        yield port


def test_the_document_that_is_measured_has_457_bytes_in_12_fields_and_an_id() -> None:
    assert [len(bson.encode(person(number))) for number in (0, 1, 99_999)] == [457] * 3
    assert len(person(0)) == 13


def test_a_quick_run_checks_everybody_and_writes_tables_and_a_plot(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.run", "--quick", "--output", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    results = (tmp_path / "RESULTS.md").read_text("utf-8")
    for row in ROWS:
        assert f"\n| {row.title} |" in results
    assert "A quick run" in results
    assert (tmp_path / "results.svg").read_text("utf-8").startswith("<svg")


def test_every_row_is_done_and_checked_for_dictionaries_and_for_ours(port: int) -> None:
    with workers([Contender(RAW, "raw"), Contender(OURS, "ours")], port) as both:
        commands = check(both)
    assert set(commands["raw"]) == set(commands["ours"]) == {row.title for row in ROWS}


def test_what_a_contender_does_wrong_is_found_before_it_is_timed(port: int, tmp_path: Path) -> None:
    """One that writes one field too few, and reads another document than it should."""
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "contender.py").write_text(
        "from benchmarks.data import identity\n"
        "from benchmarks.contenders.mongojet_raw import Contender as Raw\n"
        "class Contender(Raw):\n"
        "    def save(self, document, name, age):\n"
        "        return super().update_one(document['_id'], {'name': name})\n"
        "    def find_one(self, _):\n"
        "        return super().find_one(identity('people', 0))\n",
        "utf-8",
    )
    wrong = Contender("wrong.contender", "wrong", environment=(("PYTHONPATH", str(tmp_path)),))
    with workers([wrong], port) as them, pytest.raises(WrongError) as raised:
        check(them)
    assert [line.split(":")[0] for line in str(raised.value).splitlines()] == [
        "wrong, find_one",
        "wrong, save, two fields changed",
    ]


async def test_the_server_gives_a_cursor_batch_by_batch_and_counts_its_commands(port: int) -> None:
    control(port, sizes={"people": 2_500})
    client = await mongojet.create_client(f"mongodb://127.0.0.1:{port}")
    found = [each async for each in await client["bench"]["people"].find({}, batch_size=1_000)]
    assert found == [person(number) for number in range(2_500)]
    assert await client["bench"]["people"].find_one({"_id": identity("people", 7)}) == person(7)
    assert control(port)["counts"] == {"find": 2, "getMore": 2}
    await client.close()


def test_a_ratio_is_made_within_a_round() -> None:
    samples = Samples()
    turn = ("find_one", 1)
    samples.taken["raw", turn] = [Sample(each, 1.0, 2.0) for each in (10.0, 100.0, 10.0)]
    samples.taken["ours", turn] = [Sample(each, 4.0, 3.0) for each in (20.0, 200.0, 20.0)]
    assert samples.ratio("ours", turn, "raw") == (2.0, 2.0, 2.0)
    assert samples.ratio("nobody", turn, "raw") is None
    driver = samples.figures("ours", turn, lambda each: each.cpu - each.event_loop)
    assert driver is not None
    assert driver.median == 16.0


def test_a_sample_tells_the_event_loops_part_of_the_cpu_and_counts_the_waits(port: int) -> None:
    with workers([Contender(RAW, "raw")], port) as (worker,):
        sample = Sample(**worker.ask("turn", row="find_one", count=20))
    assert 0 < sample.event_loop < sample.cpu
    assert sample.switches >= 1  # for the server's reply


def test_a_plot_says_what_is_not_offered_and_cuts_what_is_too_long() -> None:
    drawn = svg(
        "Head", [Panel("find_one", [Bar("A", 1.5, ours=True), Bar("B", None), Bar("C", 99)])]
    )
    assert "not offered" in drawn
    assert ">1.50<" in drawn and ">99.00<" in drawn
    widths = [float(each.split('"')[0]) for each in drawn.split('width="')[1:]]
    assert max(widths) <= 800
    assert "prefers-color-scheme: dark" in drawn


def test_a_worker_that_ends_is_told_of() -> None:
    worker = Worker(Contender("no_such_contender", "nobody"), 0)
    with pytest.raises(RuntimeError, match="nobody ended in check"):
        worker.ask("check")
    worker.close()

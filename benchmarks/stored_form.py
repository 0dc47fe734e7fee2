"""What it costs a document of find_all to know its stored content."""

import gc
import statistics
import tracemalloc
from typing import Any, NamedTuple

import bson
import msgspec

from benchmarks.documents import Person
from benchmarks.measure import Way, turn
from mongospec_core.codec.codec_options import CODEC_OPTIONS
from mongospec_core.codec.plan import plan_of
from mongospec_core.model.read import Reader
from mongospec_core.model.snapshot import set_snapshot


class StoredForm(NamedTuple):
    """For one document."""

    microseconds: float
    bytes: float


async def cost_of_stored_form(rounds: int) -> StoredForm:
    """The CPU that a read takes longer for it, and the memory that dropping it gives back.

    The read it is compared with is that of a Struct with the same fields, which is no document.
    """
    raws = await Person.get_collection().find_many({})
    batch = bson.encode({str(number): raw for number, raw in enumerate(raws)})
    count = len(raws)
    del raws
    fields = [(each.name, each.type) for each in msgspec.structs.fields(Person)]
    struct = msgspec.defstruct("PersonStruct", fields)

    def reading(cls: Any) -> Way:
        return Way(lambda _: Reader(plan_of(cls), CODEC_OPTIONS).read(batch))

    known, unknown = reading(Person), reading(struct)
    turns = [await turn(known) - await turn(unknown) for _ in range(rounds + 1)]
    return StoredForm(statistics.median(turns[1:]) * 1e6 / count, await _bytes(batch))


async def _bytes(batch: bytes) -> float:
    tracemalloc.start()
    try:
        documents = await Reader(plan_of(Person), CODEC_OPTIONS).read(batch)
        gc.collect()
        known, _ = tracemalloc.get_traced_memory()
        for each in documents:
            set_snapshot(each, None)
        gc.collect()
        unknown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (known - unknown) / len(documents)

"""``fetch()``: a reference becomes its document, in place."""

from collections.abc import Mapping
from typing import Any

from mongospec_core.extension import begin, encode, to_raw
from mongospec_refs.errors import MissingReferenceError
from mongospec_refs.hollow import fill, hollow_class, is_resolved, real_class, turn
from mongospec_refs.reading import RefReading, RootReader


async def fetch(reference: Any, reading: RefReading, options: Mapping[str, Any]) -> None:
    """Read the document of a hollow reference into it."""
    cls = real_class(reference)
    binding, call = begin(cls, "fetch", "find_one", options, "read")
    found = await call.send("find_one", encode({"_id": to_raw(reference._id)}))
    if found is None:
        if not is_resolved(reference):
            turn(reference, hollow_class(cls, missing=True))
        raise MissingReferenceError(
            f"{cls.__name__} of _id={reference._id!r} is not in the collection "
            f"{binding.target.name!r}",
            reference,
        )
    reader = RootReader(
        binding.plan, binding.target.codec, call, depth=reading.depth, guest=reference
    )
    (document,) = await reader.read_one(found)
    if not is_resolved(reference):  # another task may have been faster; its object is in use
        fill(reference, document)

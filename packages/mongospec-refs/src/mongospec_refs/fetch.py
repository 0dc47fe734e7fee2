"""Read the document of one unresolved reference."""

from collections.abc import Mapping
from typing import Any

from mongospec_core.extension import (
    begin,
    decode,
    encode,
    id_filter,
    refuse_elsewhere,
    shown,
    to_raw,
)
from mongospec_refs.errors import MissingReferenceError
from mongospec_refs.read import ReferenceRead, RootReader
from mongospec_refs.unresolved import (
    class_of,
    fill,
    is_resolved,
    real_class,
    set_class,
    unresolved_class,
)


async def fetch(reference: Any, read: ReferenceRead, options: Mapping[str, Any]) -> Any:
    """Read the document of an unresolved reference into it.

    :returns: the reference; if its document is of a subclass, that document.
    """
    cls = real_class(reference)
    binding, call = begin(cls, "fetch", "find_one", options, "read")
    refuse_elsewhere(cls, [reference])
    wanted = binding.scoped(id_filter(cls, to_raw(reference._id)))
    found = await call.send("find_one", encode(wanted))
    if found is None:
        if not is_resolved(reference):
            set_class(reference, unresolved_class(cls, missing=True))
        raise MissingReferenceError(
            f"{cls.__name__} of _id={shown(reference._id)} is not in the collection "
            f"{binding.target.name!r}",
            reference,
        )
    plan, codec = binding.plan, binding.target.codec
    exact = plan.tag is None or decode(found).get(plan.tag[0]) == plan.tag[1]
    target = reference if exact else None
    reader = RootReader(plan, codec, depth=read.depth, target=target)
    (document,) = await reader.load([found], call)
    if class_of(document) is not cls:
        return document
    if not is_resolved(reference):  # another task may have resolved it meanwhile
        fill(reference, document)
    return reference

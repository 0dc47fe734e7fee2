"""The version of a document: raised by each write, compared with the stored one."""

# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

from functools import partial
from typing import Any

from msgspec.structs import force_setattr

from mongospec_core.codec.codec_options import decode, encode
from mongospec_core.codec.elements import join_elements, split_elements
from mongospec_core.codec.plan import Plan
from mongospec_core.errors import DuplicateKeyError, EncodingError, StaleDocumentError, shown
from mongospec_core.model.ids import id_filter
from mongospec_core.model.snapshot import snapshot_of
from mongospec_core.server.operation import Operation

_MOST = 2**63 - 1  # of BSON's integers


def version_of(plan: Plan[Any], document: Any) -> int:
    """Return the version that *document* was read with."""
    assert plan.version_field is not None
    version: int = getattr(document, plan.version_field)
    return version


def raised(plan: Plan[Any], document: Any, data: bytes) -> tuple[int, bytes, bytes]:
    """Return the next version of *document*, its BSON element, and *data* with that version."""
    assert plan.version is not None
    before: Any = version_of(plan, document)  # not validated, if the caller does not want it
    if type(before) is not int or before >= _MOST:
        raise EncodingError(
            f"{plan.cls.__name__}.{plan.version} of _id={shown(document._id)}: {shown(before)} is not a "
            f"version that can be raised (nothing was written)"
        )
    version = before + 1
    elements = split_elements(data)
    element = elements[plan.version] = encode({plan.version: version})[4:-1]
    return version, element, join_elements(elements.values())


def stale(document: Any, expected: int) -> StaleDocumentError:
    """Return the error for a document that another write changed since it was read."""
    cls = type(document)
    return StaleDocumentError(
        f"{cls.__name__} with _id={shown(document._id)} was changed since it was read: its "
        f"{cls.__version_field__} is not {expected} any more; it was not written, so read it again "
        f"and do once more what was to be done",
        document=document,
        expected=expected,
    )


def refuse_taken(document: Any, version: int | None, error: BaseException) -> None:
    """Raise StaleDocumentError if an upsert failed because the ``_id`` exists in another version.

    :param version: the version that was read; None if none is compared.
    :raises StaleDocumentError: the document was changed since it was read.
    """
    if version is None or not isinstance(error, DuplicateKeyError):
        return
    if list(error.key_pattern or ()) == ["_id"]:
        raise stale(document, version) from error


async def refuse_stale(
    call: Operation, plan: Plan[Any], document: Any, id_: Any, version: int | None
) -> None:
    """Raise StaleDocumentError if a write found nothing because the document was changed.

    :param id_: its raw ``_id``.
    :param version: the version that was read; None for a class without versions.
    :raises StaleDocumentError: the document exists in another version.
    """
    if plan.version is None or version is None:
        return
    look = call.look("find_one", {plan.version: 1})
    found = await look.send("find_one", encode(id_filter(plan.cls, id_)))
    if found is not None and (decode(found).get(plan.version) or 0) != version:
        raise stale(document, version)


def note_version(call: Operation, document: Any, version: int | None, data: bytes) -> None:
    """Note in a document the version that it is stored with, after :func:`apply_outcome`.

    If the outcome is uncertain the document keeps the version that was read, so that a later write
    cannot succeed by mistake.

    :param version: None if the write did not raise it.
    :param data: the BSON that is its snapshot if the write was acknowledged.
    """
    if version is None or snapshot_of(document) is not data:
        return
    field = type(document).__version_field__
    lower = partial(force_setattr, document, field, getattr(document, field))
    force_setattr(document, field, version)
    call.on_abort(lower, if_unknown=lower)

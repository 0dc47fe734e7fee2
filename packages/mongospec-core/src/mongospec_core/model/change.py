"""What a save or a replacement changes: prepared once, sent, and noted in the document."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, cast

from msgspec.structs import force_setattr

from mongospec_core.codec.codec_options import decode, encode
from mongospec_core.codec.elements import element_value, join_elements, split_elements
from mongospec_core.codec.plan import Plan
from mongospec_core.codec.raw_values import to_raw
from mongospec_core.codec.types import CHECKING
from mongospec_core.errors import InvalidIdError, OptionError, Outcome, shown
from mongospec_core.model.ids import id_filter, take_back_id
from mongospec_core.model.own_filter import moves, own_filter
from mongospec_core.model.snapshot import StoredForm, changed_fields, snapshot_of
from mongospec_core.model.version import note_version, raised
from mongospec_core.model.write import (
    apply_outcome,
    encode_document,
    encode_one,
    to_raw_documents,
)
from mongospec_core.server.operation import Operation


class Change:
    """A document that is ready to be saved: encoded and compared once.

    :ivar document: the document.
    :ivar raw: its raw document.
    :ivar filter: the filter for the stored document.
    :ivar data: its BSON, which the stored document will be.
    :ivar before: the snapshot that it was compared to.
    :ivar update: the BSON of the update that is sent; None if nothing changed.
    :ivar version: the version that it raises the document to; None if there is none.
    :ivar moves: whether it changes a value of the shard key.
    """

    __slots__ = ("before", "data", "document", "filter", "raw", "update")

    guarded: ClassVar[bool] = False  # whether its class has a version or a shard key
    version: int | None = None
    moves: bool = False

    def __init__(
        self,
        plan: Plan[Any],
        document: Any,
        raw: dict[str, Any],
        data: bytes,
        *,
        upsert: bool = False,
    ) -> None:
        self.document: Any = document
        self.raw: dict[str, Any] = raw
        self.filter: dict[str, Any] = id_filter(plan.cls, raw.get("_id"))
        self.data: bytes = data
        self.before: StoredForm = snapshot_of(document)
        self.update: bytes | None = _update(plan, self, upsert=upsert)

    @property
    def expected(self) -> int | None:
        """The version that was read; None if none is compared."""
        return None if self.version is None else self.version - 1

    def apply(
        self, call: Operation, outcome: Outcome, revoke: Callable[[Any], None] | None = None
    ) -> None:
        """Update the document after the save, as :func:`apply_outcome` says."""
        apply_outcome(
            call, self.document, outcome, before=self.before, after=self.data, revoke=revoke
        )
        if self.version is not None:
            note_version(call, self.document, self.version, self.data)


class GuardedChange(Change):
    """A change of a document whose class has a version or a shard key."""

    __slots__ = ("moves", "version")

    guarded = True

    def __init__(
        self,
        plan: Plan[Any],
        document: Any,
        raw: dict[str, Any],
        data: bytes,
        *,
        upsert: bool = False,
    ) -> None:
        self.version: int | None = None
        super().__init__(plan, document, raw, data, upsert=upsert)
        self.filter: dict[str, Any] = own_filter(plan, document, raw.get("_id"))
        self.moves: bool = moves(plan, self.filter, raw)
        if plan.version is not None and self.version is None:
            del self.filter[plan.version]  # nothing changes, so any version is accepted

    def raise_version(self, plan: Plan[Any]) -> bytes:
        """Raise the version in the BSON that is sent.

        :returns: the version's BSON element.
        """
        self.version, element, data = raised(plan, self.document, self.data)
        self.data: bytes = data
        return element


def prepare(
    plan: Plan[Any], documents: Sequence[Any], *, validate: bool | None, upsert: bool = False
) -> list[Change]:
    """Prepare documents to be saved, after their hooks have run; nothing is sent.

    :raises DocumentValidationError: some do not fit; it names all of them.
    :raises EncodingError: BSON cannot hold a value.
    :raises InvalidIdError: one is stored under another ``_id``.
    """
    raws = to_raw_documents(plan, documents, validate=validate)
    return [
        _change(plan, document, raw, encode_document(plan, raw), upsert=upsert)
        for document, raw in zip(documents, raws, strict=True)
    ]


def prepare_one(
    plan: Plan[Any], document: Any, *, validate: bool | None, upsert: bool = False
) -> Change:
    """Apply :func:`prepare` to one document."""
    raw, data = encode_one(plan, document, validate=validate)
    return _change(plan, document, raw, data, upsert=upsert)


def prepare_changed(plan: Plan[Any], documents: Sequence[Any]) -> list[Change]:
    """Prepare those documents that have changed, without validation."""
    raws = to_raw_documents(plan, documents, validate=False)
    differ = [
        (document, raw, data)
        for document, raw in zip(documents, raws, strict=True)
        if (data := encode_document(plan, raw)) != snapshot_of(document)
    ]
    changes = [_change(plan, document, raw, data) for document, raw, data in differ]
    return [each for each in changes if each.update is not None]


def _change(
    plan: Plan[Any], document: Any, raw: dict[str, Any], data: bytes, *, upsert: bool = False
) -> Change:
    kind = GuardedChange if plan.guarded else Change  # the same for all classes of a family
    if plan.members is not None:
        plan = plan.members[type(document)]
    return kind(plan, document, raw, data, upsert=upsert)


def _update(plan: Plan[Any], change: Change, *, upsert: bool) -> bytes | None:
    """Return the update that makes the stored document equal; None if nothing changed."""
    known = isinstance(change.before, bytes)
    changed = changed_fields(plan, change.before, change.data)
    if known and "_id" in changed:
        raise InvalidIdError(
            f"{plan.cls.__name__}: this document is stored under another _id than "
            f"{shown(change.raw['_id'])}, and MongoDB cannot change one; copy.replace(document, _id=...) "
            f"and insert the copy, then delete this document"
        )
    changed.pop("_id", None)
    # A write that changes nothing leaves the version. One that was set by hand is to be compared.
    if plan.version is not None and (changed or not known):
        changed[plan.version] = cast("GuardedChange", change).raise_version(plan)
    if not upsert and known:
        if not changed:
            return None
        if None not in changed.values():
            return join_elements([b"\x03$set\0" + join_elements(cast("Any", changed).values())])
    rest: list[bytes] = []
    if upsert:  # unchanged fields are only written if the document does not exist any more
        now = split_elements(change.data)
        rest = [now[name] for name in now if name not in changed and name != "_id"]
    if not changed and not rest:  # nothing to write but _id: only check that the document exists
        return encode({"$setOnInsert": change.filter})
    parts = {
        "$set": [each for each in changed.values() if each is not None],
        "$unset": [
            b"\x02" + name.encode() + b"\0\1\0\0\0\0"
            for name, each in changed.items()
            if each is None
        ],
        "$setOnInsert": rest,
    }
    return join_elements(
        b"\x03" + operator.encode() + b"\0" + join_elements(elements)
        for operator, elements in parts.items()
        if elements
    )


class Replacement:
    """A whole document that is ready to replace another.

    :ivar query: the BSON of the filter: the caller's, and the document's own filter if it is known
        which document is replaced.
    :ivar data: its BSON, which the stored document will be.
    :ivar expected: the version that was read; None for a class without versions.
    :ivar moves: whether it changes a value of the shard key.
    :ivar missed: whether it found no document.
    """

    __slots__ = ("_before", "data", "document", "expected", "missed", "moves", "plan", "query")

    def __init__(self, plan: Plan[Any], document: Any, data: bytes, query: bytes) -> None:
        self.plan: Plan[Any] = plan
        self.document: Any = document
        self.query: bytes = query
        self.data: bytes = data
        self.expected: int | None = None
        self.moves: bool = False
        self.missed: bool = False
        self._before: StoredForm = snapshot_of(document)
        if plan.guarded:
            self._guard()

    def _guard(self) -> None:
        plan, document = self.plan, self.document
        if document._id is None:
            if plan.version is None:
                return
            raise OptionError(
                f"{plan.cls.__name__}: a replacement without _id would overwrite a document that "
                f"was not read; read it and save() it, or set the replacement's _id and its "
                f"{plan.version_field}"
            )
        asked, own = decode(self.query), own_filter(plan, document, to_raw(document._id))
        alike = all(asked[name] == own[name] for name in asked.keys() & own.keys())
        self.query = encode({**asked, **own} if alike else {"$and": [asked, own]})
        self.moves = moves(plan, own, decode(self.data))
        if plan.version is not None:
            version, _, self.data = raised(plan, document, self.data)
            self.expected = version - 1

    def apply(self, call: Operation, outcome: Outcome, id_: Any) -> None:
        """Update the document after the replacement.

        :param id_: the raw ``_id`` of the stored document; a document without ``_id`` gets it.
        """
        plan, document, data = self.plan, self.document, self.data
        had_none = document._id is None
        if had_none:
            if outcome != "applied" or id_ is None or isinstance(id_, dict):
                return  # the stored document is not known
            place = plan.encode_names.index("_id")
            (given,) = split_elements(encode({"_id": id_})).values()
            data = join_elements([given, *split_elements(data).values()])
            raw = element_value(given)
            force_setattr(document, "_id", plan.convert_field(place, raw, CHECKING))
        apply_outcome(
            call,
            document,
            outcome,
            before=self._before,
            after=data,
            revoke=take_back_id if had_none else None,
        )
        if self.expected is not None:
            note_version(call, document, self.expected + 1, data)

"""Prepare documents for a write: raw documents, validation, BSON, and the outcome afterwards."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, cast

import msgspec
from msgspec.structs import force_setattr

from mongospec_core.codec.codec_options import NestingError, decode, encode, to_raw
from mongospec_core.codec.plan import Plan
from mongospec_core.codec.types import CHECKING
from mongospec_core.codec.validation import parse_validation_error, unencodable
from mongospec_core.errors import (
    DocumentValidationError,
    EncodingError,
    InvalidDocument,
    InvalidIdError,
    OptionError,
    Outcome,
    cut,
    shown,
)
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding, reading_plan
from mongospec_core.model.family import is_member
from mongospec_core.model.hooks import run_pre_save
from mongospec_core.model.own_filter import id_filter, moves, own_filter, raised
from mongospec_core.model.snapshot import (
    UNKNOWN_CONTENT,
    StoredForm,
    changed_fields,
    element_value,
    is_new,
    join_elements,
    set_place,
    set_snapshot,
    snapshot_of,
    split_elements,
)
from mongospec_core.server import place as places
from mongospec_core.server.operation import Operation

_CHUNK = 100
_NOTHING = "nothing was written"
MAX_DOCUMENT = 16 * 1024 * 1024
"""The server's limit for one document, in bytes."""


def check_class(cls: type, documents: Sequence[Any]) -> None:
    """Refuse documents that are not of *cls* or of a member of its family.

    :raises OptionError: a document is of another class.
    """
    for document in documents:
        if type(document) is cls:
            continue
        members = reading_plan(cls).members or ()
        if type(document) in members:
            continue
        given = type(document).__name__
        hint = "documents of subclasses have collections of their own"
        if isinstance(document, Mapping):
            hint = f"make it one by {cls.__name__}(...) or {cls.__name__}.load({{...}})"
        elif isinstance(document, DocumentBase) and is_member(type(document), cls):
            hint = f"{given} is not bound: add it to document_types"
        raise OptionError(f"{cls.__name__}: this is a {given}, not a {cls.__name__}; {hint}")


def document_list(cls: type, documents: Any) -> list[Any]:
    """Return documents of *cls* as a list.

    :raises OptionError: *documents* is not a list of them.
    """
    one = isinstance(documents, DocumentBase | Mapping)
    if one or isinstance(documents, type) or not hasattr(documents, "__iter__"):
        raise OptionError(f"{cls.__name__}: {shown(documents)} is not a list of documents")
    found: list[Any] = list(documents)
    check_class(cls, found)
    return found


async def run_hooks_and_checks(binding: Binding, documents: Sequence[Any]) -> None:
    """Run ``__pre_save__``, then ``_before_write``."""
    if "__pre_save__" in binding.hooks:
        for document in documents:
            await run_pre_save(document)
    plan = binding.plan
    if plan.members is None:
        plan.cls._before_write(documents)
        return
    cls: Any
    for cls in plan.members:  # each has its own fields to validate
        if own := [each for each in documents if type(each) is cls]:
            cls._before_write(own)


def to_raw_documents(
    plan: Plan[Any], documents: Sequence[Any], *, validate: bool | None
) -> list[dict[str, Any]]:
    """Return the raw documents of *documents*, whose values are cut to what BSON keeps.

    With *validate*, they are read back in one call: a document that a later read would refuse is
    refused now.

    :raises DocumentValidationError: some do not fit; it names all of them.
    :raises EncodingError: a dict's key cannot be a field's name.
    """
    try:
        if plan.truncations:
            for document in documents:
                plan.truncate(document)
        raws = list(map(plan.encode, documents))
    except EncodingError as error:
        raise _named(plan, documents, error) from error
    except RecursionError as error:
        raise EncodingError(
            f"{plan.cls.__name__}: a document is nested too deeply, or contains itself "
            f"(nothing was written)"
        ) from error
    return checked(plan, raws, validate)


def checked(
    plan: Plan[Any], raws: list[dict[str, Any]], validate: bool | None
) -> list[dict[str, Any]]:
    """Return raw documents that a later read will accept.

    :param validate: whether they are checked; None: as their class says.
    :raises DocumentValidationError: some do not fit; it names all of them.
    """
    if not (plan.cls.__validate_on_write__ if validate is None else validate):
        return raws
    try:
        plan.convert(plan.prepare(raws, CHECKING))
    except (msgspec.ValidationError, TypeError, ValueError):
        return _checked_one_by_one(plan, raws)
    return raws


def encode_documents(
    plan: Plan[Any], documents: Sequence[Any], *, validate: bool | None
) -> list[bytes]:
    """Apply :func:`to_raw_documents` and :func:`encode_document` to many documents.

    A hundred at a time: their raw documents are freed while still in the CPU's cache, and the
    garbage collector never has to visit all of them.

    :raises DocumentValidationError: some do not fit; it names all of them.
    """
    encoded: list[bytes] = []
    failures: list[InvalidDocument] = []
    for start in range(0, len(documents), _CHUNK):
        try:
            raws = to_raw_documents(plan, documents[start : start + _CHUNK], validate=validate)
        except DocumentValidationError as error:
            failures += error.failures
        else:
            if not failures:
                encoded += [encode_document(plan, raw) for raw in raws]
    if failures:
        raise DocumentValidationError(plan.cls, failures, _NOTHING)
    return encoded


def _named(plan: Plan[Any], documents: Sequence[Any], error: EncodingError) -> EncodingError:
    """Return *error* with the document and the field that it is about."""
    for document in documents:
        if (found := plan.unencodable(document)) is not None:
            return EncodingError(
                f"{plan.cls.__name__}.{found[0]} of _id={shown(document._id)}: {found[1]} "
                f"(nothing was written)"
            )
    return error


def _checked_one_by_one(plan: Plan[Any], raws: list[dict[str, Any]]) -> list[dict[str, Any]]:
    fit: list[dict[str, Any]] = []
    failures: list[InvalidDocument] = []
    for raw in raws:
        # A str field may hold a StrEnum, an int field an IntEnum: their value is stored.
        simple = {name: to_raw(value) for name, value in raw.items()}
        try:
            plan.convert(plan.prepare([simple], CHECKING))
        except msgspec.ValidationError as error:
            path, reason = parse_validation_error(error)
            failures.append(InvalidDocument(raw.get("_id"), path, reason))
        except UnicodeEncodeError as error:  # msgspec's, of text with a lone surrogate
            path, reason = unencodable(simple) or ("", cut(str(error)))
            failures.append(InvalidDocument(raw.get("_id"), path, reason))
        else:
            fit.append(simple)
    if failures:
        raise DocumentValidationError(plan.cls, failures, _NOTHING)
    return fit


def encode_document(plan: Plan[Any], raw: Mapping[str, Any]) -> bytes:
    """Encode one raw document; an ``_id`` of None is left out, or MongoDB would store it.

    :raises EncodingError: BSON cannot hold a value; class, field and ``_id`` are named.
    """
    if raw.get("_id", 0) is None:
        raw = {name: value for name, value in raw.items() if name != "_id"}
    try:
        data = encode(raw)
    except EncodingError as error:
        where = None if isinstance(error, NestingError) else unencodable(raw)
        path, reason = where or ("", str(error))
        raise EncodingError(
            f"{plan.cls.__name__}{'.' + path if path else ''} of _id={shown(raw.get('_id'))}: {reason} "
            f"(nothing was written)"
        ) from error
    if len(data) > MAX_DOCUMENT:
        raise EncodingError(
            f"{plan.cls.__name__} of _id={shown(raw.get('_id'))} takes {len(data):,} bytes, more than "
            f"the {MAX_DOCUMENT:,} of a MongoDB document (nothing was written)"
        )
    return data


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
    encoded = [encode_document(plan, raw) for raw in raws]
    return _changes(plan, zip(documents, raws, encoded, strict=True), upsert=upsert)


def prepare_changed(plan: Plan[Any], documents: Sequence[Any]) -> list[Change]:
    """Prepare those documents that have changed, without validation."""
    raws = to_raw_documents(plan, documents, validate=False)
    differ = [
        (document, raw, data)
        for document, raw in zip(documents, raws, strict=True)
        if (data := encode_document(plan, raw)) != snapshot_of(document)
    ]
    return [each for each in _changes(plan, differ) if each.update is not None]


def _changes(
    plan: Plan[Any], encoded: Iterable[tuple[Any, dict[str, Any], bytes]], *, upsert: bool = False
) -> list[Change]:
    kind = GuardedChange if plan.guarded else Change  # the same for all classes of a family
    members = plan.members
    return [
        kind(plan if members is None else members[type(each)], each, raw, data, upsert=upsert)
        for each, raw, data in encoded
    ]


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
    if plan.version is not None:
        changed.pop(plan.version, None)
        if changed or not known:  # a write that changes nothing leaves the version
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


def take_back_id(document: Any) -> None:
    """Take back the ``_id`` that was made for a write, unless another write stored the document."""
    if is_new(document):
        force_setattr(document, "_id", None)


def apply_outcome(
    call: Operation,
    document: Any,
    outcome: Outcome,
    *,
    before: StoredForm,
    after: StoredForm,
    revoke: Callable[[Any], None] | None = None,
) -> None:
    """Update a document's snapshot after a write of it.

    The order of two concurrent writes on the server is unknown: if another write was acknowledged
    meanwhile and stored something else, the stored content is unknown. It is also unknown after a
    write in a session that the caller opened, because an abort of its transaction is not seen.

    :param before: the snapshot when the write was prepared.
    :param after: the snapshot once the write is acknowledged.
    :param revoke: called with the document if it was not written, or its transaction is aborted.
    """
    if outcome == "not_applied":
        if revoke is not None:
            revoke(document)
        return
    now = snapshot_of(document)
    certain = outcome == "applied" and call.session is None and (now is before or now == after)
    noted = after if certain else UNKNOWN_CONTENT
    set_snapshot(document, noted)
    if places.used:
        set_place(document, call.target.place)
    if call.transaction is not None:
        _undo_on_abort(call, document, noted, now, revoke)


def _undo_on_abort(
    call: Operation,
    document: Any,
    noted: StoredForm,
    before: StoredForm,
    revoke: Callable[[Any], None] | None,
) -> None:
    def undo() -> None:
        set_snapshot(document, before if snapshot_of(document) is noted else UNKNOWN_CONTENT)
        if revoke is not None:
            revoke(document)

    call.on_abort(undo, if_unknown=lambda: set_snapshot(document, UNKNOWN_CONTENT))


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

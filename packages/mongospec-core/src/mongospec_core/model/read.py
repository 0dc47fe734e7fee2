"""Decode stored documents to the results of a read, a whole batch at a time."""

import gc
import inspect
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import bson
import msgspec
from bson.codec_options import CodecOptions
from bson.errors import BSONError

from mongospec_core.codec.codec_options import DECIMAL_CODEC_OPTIONS, decode, encode_trusted
from mongospec_core.codec.plan import Plan, Upgrade
from mongospec_core.codec.types import to_python
from mongospec_core.codec.validation import parse_validation_error
from mongospec_core.errors import (
    DocumentValidationError,
    EncodingError,
    HookError,
    InvalidDocument,
    cut,
)
from mongospec_core.model.hooks import UpgradeFailedError, run_upgrade
from mongospec_core.model.snapshot import (
    UNKNOWN_CONTENT,
    SnapshotSlot,
    is_new,
    remember_read,
    set_place,
    set_snapshot,
    upgraded,
)
from mongospec_core.server.operation import Operation

type OnInvalid = Literal["raise", "skip"] | Callable[[InvalidDocument, Mapping[str, Any]], Any]
"""What a read does with a stored document that does not fit its class.

``"raise"`` one error that names all of the batch, ``"skip"`` them, or call a function with the
:class:`InvalidDocument` and the raw document: the result has what it returns (None: nothing).
"""

STORED = (
    'stored like this; correct it, teach the class by __upgrade__, or read with on_invalid="skip"'
)
_LEFT_OUT: Any = object()
_UNFIT = (
    BSONError,
    msgspec.ValidationError,
    TypeError,
    ValueError,
    RecursionError,
    UpgradeFailedError,
)
_CHUNK = 500
"""How many documents are decoded at a time: their raw dicts are freed while still in the CPU's cache;
10,000 at once took 1.5 times as long."""


class BatchReader[T](Protocol):
    """Decodes the documents of a driver's reply."""

    async def load(self, parts: list[bytes], call: Operation | None) -> list[T]:
        """Return the decoded documents in their order, without those that are skipped.

        :param call: the read that returned them.
        """
        ...


class Reader[T]:
    """Decodes BSON to instances.

    Override ``load`` to do more with a whole batch, with further queries in the same session if
    needed.
    """

    __slots__ = ("_keeps_form", "codec", "on_invalid", "plan", "upgrade")

    def __init__(
        self,
        plan: Plan[T],
        codec: CodecOptions[dict[str, Any]],
        *,
        on_invalid: OnInvalid = "raise",
    ) -> None:
        self.plan: Plan[T] = plan
        self.codec: CodecOptions[dict[str, Any]] = codec
        self.on_invalid: OnInvalid = on_invalid
        self._keeps_form = issubclass(plan.cls, SnapshotSlot)
        self.upgrade: Upgrade | None = plan.upgrade

    async def load(self, parts: list[bytes], call: Operation | None) -> list[T]:
        """Return instances for BSON documents, as :class:`BatchReader` says."""
        documents = self.decode(parts)
        if call is not None and (
            call.transaction is not None
            or call.session is not None
            or call.target.place is not None
        ):
            settle_read(call, documents)
        return documents

    def decode(self, parts: list[bytes]) -> list[T]:
        """Return instances with their snapshots for BSON documents, without asking the server.

        :raises DocumentValidationError: some do not fit, and ``on_invalid`` is "raise".
        """
        if len(parts) > _CHUNK:
            return self._decode_chunks(parts)
        plan = self.plan
        try:
            raws = bson.decode_all(b"".join(parts), self.codec)  # pyright: ignore[reportUnknownMemberType]
            if self.upgrade is not None:
                raws = [run_upgrade(plan.cls, self.upgrade, raw) for raw in raws]
            documents = plan.convert(plan.prepare(raws, self))
            if self.upgrade is not None and self._keeps_form:
                pairs = zip(parts, raws, strict=True)
                parts = [upgraded(part, encode_trusted(raw)) for part, raw in pairs]
        except _UNFIT:
            return self._decode_one_by_one(parts)
        if self._keeps_form:
            remember_read(plan, documents, parts, raws)
        return documents

    def _decode_chunks(self, parts: list[bytes]) -> list[T]:
        documents: list[T] = []
        failures: list[InvalidDocument] = []
        with _collector_paused():
            for start in range(0, len(parts), _CHUNK):
                try:
                    documents += self.decode(parts[start : start + _CHUNK])
                except DocumentValidationError as error:
                    failures += error.failures
        self._raise(failures)
        return documents

    # -- if something is wrong: slower, document by document

    def _decode_one_by_one(self, parts: list[bytes]) -> list[T]:
        documents: list[T] = []
        failures: list[InvalidDocument] = []
        for part in parts:
            document: Any
            if (failure := _damage(part)) is not None:
                document = self._unfit(failure, salvaged(part), failures)
            else:
                document = self._converted(part, decode(part, self.codec), failures)
            if document is not _LEFT_OUT:
                documents.append(document)
        self._raise(failures)
        return documents

    def _converted(self, part: bytes, raw: dict[str, Any], failures: list[InvalidDocument]) -> Any:
        plan, id_ = self.plan, raw.get("_id")
        if self.upgrade is not None:
            try:
                raw = run_upgrade(plan.cls, self.upgrade, raw)
                part = upgraded(part, encode_trusted(raw))
            except (UpgradeFailedError, EncodingError) as error:
                said = (
                    "" if isinstance(error, UpgradeFailedError) else "__upgrade__ returned this: "
                )
                raw = decode(part, self.codec)  # it may have been half changed
                return self._unfit(InvalidDocument(id_, "", f"{said}{error}"), raw, failures)
        try:
            (document,) = plan.convert(plan.prepare([raw], self))
        except msgspec.ValidationError as error:
            path, reason = parse_validation_error(error)
            return self._unfit(InvalidDocument(id_, path, reason), raw, failures)
        if self._keeps_form:
            remember_read(plan, [document], [part], [raw])
        return document

    def _unfit(
        self, failure: InvalidDocument, raw: Mapping[str, Any], failures: list[InvalidDocument]
    ) -> Any:
        if self.on_invalid == "raise":
            failures.append(failure)
        elif not isinstance(self.on_invalid, str):
            replaced = self.on_invalid(failure, raw)
            if inspect.iscoroutine(replaced):
                replaced.close()
                raise HookError("on_invalid= takes a plain function, not an async one")
            return _LEFT_OUT if replaced is None else replaced
        return _LEFT_OUT

    def _raise(self, failures: Sequence[InvalidDocument]) -> None:
        if failures:
            raise DocumentValidationError(self.plan.cls, failures, STORED)


@contextmanager
def _collector_paused() -> Generator[None]:
    """Keep the garbage collector from running while a large batch is decoded.

    It runs whenever more objects were made than freed, goes through the documents decoded so far again
    and again, and finds nothing: 100,000 documents took twice the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


_SALVAGING: CodecOptions[dict[str, Any]] = DECIMAL_CODEC_OPTIONS.with_options(
    unicode_decode_error_handler="replace"
)


def _unreadable(salvaged: Mapping[str, Any]) -> str:
    """Return the top-level field that makes a document undecodable."""
    for name, value in salvaged.items():
        if "\N{REPLACEMENT CHARACTER}" in repr(value):
            return name
    return ""


def settle_read(call: Operation, documents: Iterable[Any]) -> None:
    """Mark the content of documents as unknown if it may never be committed.

    That applies to documents that an aborted transaction read, and to those that a write in a
    session of the caller's returned.
    """
    if (place := call.target.place) is not None:
        for each in documents:
            if isinstance(each, SnapshotSlot):
                set_place(each, place)
    if call.transaction is not None:
        kept = [each for each in documents if isinstance(each, SnapshotSlot)]

        def forget() -> None:
            for each in kept:
                if not is_new(each):
                    set_snapshot(each, UNKNOWN_CONTENT)

        call.on_abort(forget, if_unknown=forget)
    elif call.write and call.session is not None:
        for each in documents:
            if isinstance(each, SnapshotSlot):
                set_snapshot(each, UNKNOWN_CONTENT)


class PlainReader:
    """The reader of plain dicts: ``projection={...}``, ``aggregate`` without ``into``."""

    __slots__ = ()

    async def load(self, parts: list[bytes], call: Operation | None = None) -> list[dict[str, Any]]:
        """Return the documents as dicts.

        :raises DocumentValidationError: some are not valid BSON; it names all of them.
        """
        try:
            raws = bson.decode_all(b"".join(parts), DECIMAL_CODEC_OPTIONS)  # pyright: ignore[reportUnknownMemberType]
        except BSONError as error:
            failures = [failure for part in parts if (failure := _damage(part)) is not None]
            raise DocumentValidationError(dict, failures, "stored like this") from error
        return [to_python(raw) for raw in raws]


def _damage(part: bytes) -> InvalidDocument | None:
    """Return what is wrong with a document that cannot be decoded; None if it can be decoded."""
    try:
        decode(part)
    except BSONError as error:
        raw = salvaged(part)
        return InvalidDocument(raw.get("_id"), _unreadable(raw), cut(str(error)))
    return None


def salvaged(part: bytes) -> dict[str, Any]:
    """Decode a document that may be damaged: as far as it can be, and empty if it cannot be.

    Text that is not UTF-8 has replacement characters.
    """
    try:
        return decode(part, _SALVAGING)
    except BSONError:
        return {}

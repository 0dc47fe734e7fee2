# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false
# What is read from BSON is of any type; this module tells the types apart.
"""From raw documents to what a read gives: a whole batch at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from mongospec_core.codec.misfit import explain
from mongospec_core.codec.plan import Plan
from mongospec_core.codec.shape import plain
from mongospec_core.codec.values import DECIMAL, decode
from mongospec_core.document.stored import Host, remember_read
from mongospec_core.errors import DocumentValidationError, InvalidDocument

type OnInvalid = Literal["raise", "skip"] | Callable[[InvalidDocument, Mapping[str, Any]], Any]
"""What a read does with a stored document that does not fit its class.

``"raise"`` one error that names all of the batch, ``"skip"`` them, or call a function with the
:class:`InvalidDocument` and the raw document: what it returns stands in the result (None: nothing).
"""

_LEFT_OUT: Any = object()


class Reader[T]:
    """One read operation's way from BSON to instances.

    ``load`` is the seam: it may be overridden to do more with a whole batch, with further queries
    in the same session if it needs them.
    """

    __slots__ = ("codec", "on_invalid", "plan", "session", "upgrade")

    def __init__(
        self,
        plan: Plan[T],
        codec: CodecOptions[dict[str, Any]],
        *,
        session: Any = None,
        on_invalid: OnInvalid = "raise",
    ) -> None:
        self.plan = plan
        self.codec = codec
        self.session = session
        self.on_invalid = on_invalid
        self.upgrade: Callable[[dict[str, Any]], dict[str, Any]] | None = getattr(
            plan.cls, "__upgrade__", None
        )

    async def load(self, raws: list[dict[str, Any]]) -> list[T]:
        """Instances for a batch of raw documents, in their order."""
        return self.decode(raws)

    async def read(self, batch: bytes) -> list[T]:
        """Instances for one reply of the driver: a document with a document for each number."""
        try:
            raws = list(decode(batch, self.codec).values())
        except BSONError:
            parts = RawBSONDocument(batch).values()  # each a document, none decoded yet
            raws = self._salvage([each.raw for each in parts])
        return await self.load(raws)

    async def read_one(self, found: bytes) -> list[T]:
        """The instance of one document, in a list that is empty where it was skipped."""
        try:
            raws = [decode(found, self.codec)]
        except BSONError:
            raws = self._salvage([found])
        return await self.load(raws)

    def decode(self, raws: list[dict[str, Any]]) -> list[T]:
        """Instances for raw documents; stored form and all, but nothing that needs the server.

        :raises DocumentValidationError: some do not fit, and ``on_invalid`` is "raise".
        """
        if self.upgrade is not None:
            raws = [self.upgrade(raw) for raw in raws]
        plan = self.plan
        try:
            documents = plan.convert(plan.prepare(raws, self))
        except (msgspec.ValidationError, TypeError, ValueError):
            return self._decode_one_by_one(raws)
        if issubclass(plan.cls, Host):
            remember_read(plan, documents, raws)
        return documents

    # -- where something is wrong: slower, and document by document

    def _decode_one_by_one(self, raws: list[dict[str, Any]]) -> list[T]:
        plan = self.plan
        documents: list[T] = []
        failures: list[InvalidDocument] = []
        for raw in raws:
            try:
                (document,) = plan.convert(plan.prepare([raw], self))
            except msgspec.ValidationError as error:
                path, reason = explain(error)
                path = path.removeprefix("[0]").removeprefix(".")
                document = self._unfit(InvalidDocument(raw.get("_id"), path, reason), raw, failures)
            else:
                if issubclass(plan.cls, Host):
                    remember_read(plan, [document], [raw])
            if document is not _LEFT_OUT:
                documents.append(document)
        self._raise(failures)
        return documents

    def _salvage(self, parts: list[bytes]) -> list[dict[str, Any]]:
        """Decode document by document, where BSON itself cannot be decoded in one of them."""
        raws: list[dict[str, Any]] = []
        failures: list[InvalidDocument] = []
        for part in parts:
            try:
                raws.append(decode(part, self.codec))
            except BSONError as error:
                salvaged = decode(part, _SALVAGING)
                failure = InvalidDocument(salvaged.get("_id"), _unreadable(part), str(error))
                self._unfit(failure, salvaged, failures)
        self._raise(failures)
        return raws

    def _unfit(
        self, failure: InvalidDocument, raw: Mapping[str, Any], failures: list[InvalidDocument]
    ) -> Any:
        if self.on_invalid == "raise":
            failures.append(failure)
        elif not isinstance(self.on_invalid, str):
            replaced = self.on_invalid(failure, raw)
            return _LEFT_OUT if replaced is None else replaced
        return _LEFT_OUT

    def _raise(self, failures: Sequence[InvalidDocument]) -> None:
        if failures:
            raise DocumentValidationError(
                self.plan.cls,
                failures,
                "stored like this; correct it, teach the class by __upgrade__, or read with "
                'on_invalid="skip"',
            )


_SALVAGING: CodecOptions[dict[str, Any]] = DECIMAL.with_options(
    unicode_decode_error_handler="replace"
)


def _unreadable(part: bytes) -> str:
    """The top-level field that makes a document undecodable."""
    for name, value in decode(part, _SALVAGING).items():
        if "\N{REPLACEMENT CHARACTER}" in repr(value):
            return str(name)
    return ""


class PlainReader:
    """The reader of plain dicts: ``projection={...}``, ``aggregate`` without ``into``."""

    __slots__ = ()

    async def read(self, batch: bytes) -> list[dict[str, Any]]:
        """The documents of one reply of the driver."""
        return [plain(each) for each in decode(batch).values()]

    async def read_one(self, found: bytes) -> list[dict[str, Any]]:
        """The document of a reply that holds one."""
        return [plain(decode(found))]

"""Projections: whole documents, a smaller Struct, or plain dicts."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, cast, get_args, get_origin

import msgspec

from mongospec_core.codec.annotations import fields_of, unwrap
from mongospec_core.codec.class_cache import class_cache
from mongospec_core.codec.codec_options import CODEC_OPTIONS, DECIMAL_CODEC_OPTIONS
from mongospec_core.codec.plan import Plan
from mongospec_core.errors import OptionError, shown
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding, binding_of, reading_plan
from mongospec_core.model.read import BatchReader, OnInvalid, PlainReader, Reader
from mongospec_core.operations.path_checks import check_projection
from mongospec_core.server.operation import Operation

type Projection = type[msgspec.Struct] | Mapping[str, Any] | None


class Read:
    """The caller's ``projection=`` and ``on_invalid=``, and the reader for them.

    Packages extend it: a document class's ``__read__`` may be a subclass that returns another reader
    and has its own keywords.

    :param target: the document that is read again in place; core's reads do not use it.
    :ivar pipeline: the results of a pipeline are read, which may have joined whole documents.
    """

    __slots__ = ("on_invalid", "pipeline", "projection", "upgrade")
    parameters: ClassVar[frozenset[str]] = frozenset()
    """The keywords that this kind of read has beside core's; its constructor takes them."""
    whole: ClassVar["Read"]
    """The read without options."""

    def __init_subclass__(cls) -> None:
        cls.whole = cls()

    @classmethod
    def of(
        cls, options: Any, projection: Projection = None, on_invalid: OnInvalid = "raise"
    ) -> "Read":
        """Return the read that a caller asks for; takes its own keywords out of *options*."""
        if not options and projection is None and on_invalid == "raise":
            return cls.whole
        return cls(projection, on_invalid, **cls.own(options))

    @classmethod
    def own(cls, options: Any) -> dict[str, Any]:
        """Take the keywords of this kind of read out of *options*."""
        return {name: options.pop(name) for name in cls.parameters & options.keys()}

    def __init__(
        self,
        projection: Projection = None,
        on_invalid: OnInvalid = "raise",
        *,
        target: Any = None,
        pipeline: bool = False,
    ) -> None:
        # A user without a type checker may write anything.
        if isinstance(on_invalid, str) and on_invalid not in ("raise", "skip"):
            raise OptionError(f'on_invalid={shown(on_invalid)}: use "raise", "skip" or a function')
        self.upgrade: Any = None
        self.pipeline: bool = pipeline
        self.projection: Projection = projection
        self.on_invalid: OnInvalid = on_invalid

    def fields(self, cls: type | None = None) -> dict[str, Any] | None:
        """Return the projection document to send; None for whole documents.

        :param cls: the class whose documents are read. Its ``__upgrade__`` needs whole documents,
            and runs before they are read as a Struct.
        """
        if self.projection is None:
            return None
        if isinstance(self.projection, Mapping):
            return dict(self.projection)
        shape: Any = get_origin(self.projection) or self.projection
        if not (isinstance(shape, type) and issubclass(shape, msgspec.Struct)):
            raise OptionError(
                f"projection={shown(self.projection)}: use a msgspec.Struct of the fields that you want "
                f'(which they are read as), or a dict like {{"name": 1}}'
            )
        if issubclass(shape, DocumentBase):
            raise OptionError(
                f"projection={shape.__name__} is a document class, and there are no half-filled "
                f"documents; make a msgspec.Struct of the fields that you want"
            )
        self.upgrade = None if cls is None else binding_of(cls).plan.upgrade
        return None if self.upgrade is not None else dict(projection_of(self.projection))

    def check(self, binding: Binding) -> None:
        """Check the fields of the projection against the class.

        :raises UnknownFieldError: the class does not have one of them.
        """
        if binding.paths is None:
            return
        if isinstance(self.projection, Mapping):
            check_projection(binding.paths, self.projection)
        elif self.projection and self.projection not in binding.paths.known_projections:
            check_projection(binding.paths, projection_of(self.projection))
            binding.paths.known_projections.add(self.projection)

    def reader(self, binding: Binding) -> BatchReader[Any]:
        """Return the reader of one batch."""
        plan = binding.plan
        if self.projection is None:
            if self.on_invalid == "raise" and not plan.decoders:
                return binding.reader
            return self.struct_reader(binding, plan, binding.target.codec)
        if isinstance(self.projection, Mapping):
            return PlainReader()
        plan = reading_plan(self.projection)
        decimals = plan.decimals or self.upgrade is not None
        codec = DECIMAL_CODEC_OPTIONS if decimals else CODEC_OPTIONS
        reader = self.struct_reader(binding, plan, codec)
        if self.upgrade is not None:
            reader.upgrade = self.upgrade
        return reader

    async def first(self, binding: Binding, call: Operation, found: bytes | None) -> Any:
        """Return the document of a reply that holds one or none."""
        documents = await self.reader(binding).load([found], call) if found is not None else None
        return documents[0] if documents else None

    def struct_reader(self, binding: Binding, plan: Plan[Any], codec: Any) -> Reader[Any]:
        """Return the reader of a document class or of a Struct."""
        return Reader(plan, codec, on_invalid=self.on_invalid)


Read.whole = Read()


class ReadOperations(DocumentBase, abstract=True):
    """The base of operations that read documents."""

    __read__: ClassVar[type[Read]] = Read
    """How the class's documents are read; packages with other reads replace it."""


@class_cache
def projection_of(tp: type[msgspec.Struct]) -> Mapping[str, Any]:
    """Return the projection document for the fields of a Struct, nested ones by their path."""
    fields: dict[str, Any] = dict.fromkeys(_paths(tp, ()), 1)
    # The server returns _id by default; if no other field is included, it must not be excluded.
    return fields if "_id" in fields else {**fields, "_id": 0 if fields else 1}


def _paths(tp: Any, above: tuple[Any, ...]) -> Iterator[str]:
    config = cast("type[msgspec.Struct]", get_origin(tp) or tp).__struct_config__
    if config.tag is not None:
        yield config.tag_field or "type"
    for field in fields_of(tp):
        inner = _inner_struct(field.type)
        if inner is None or inner in above or field.encode_name == "_id":
            yield field.encode_name
        else:
            for path in _paths(inner, (*above, tp)):
                yield f"{field.encode_name}.{path}"


def _inner_struct(annotation: Any) -> Any:
    """Return the one plain Struct inside of ``S`` or ``list[S]``, else None.

    None if the value may be None: a projection by paths returns nothing for a stored None.
    """
    tp = unwrap(annotation)
    if type(None) in get_args(tp):
        return None
    arms = [unwrap(each) for each in get_args(tp) if each not in (msgspec.UnsetType, ...)]
    cls = get_origin(tp) or tp
    if isinstance(cls, type) and issubclass(cls, msgspec.Struct):
        partial = not (
            hasattr(cls, "__bson_decoder__")
            or cls.__struct_config__.array_like
            or not cls.__struct_fields__
        )
        return tp if partial else None
    if cls is dict or len(arms) != 1 or (cls is tuple and ... not in get_args(tp)):
        return None
    return _inner_struct(arms[0])

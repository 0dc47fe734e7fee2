"""Aggregation pipelines, and the distinct values of a field."""

from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, Unpack, cast, get_args, get_origin, overload

import msgspec

from mongospec_core.codec.annotations import unwrap
from mongospec_core.codec.codec_options import decode, encode, named
from mongospec_core.codec.plan import Plan, plan_of
from mongospec_core.codec.types import CHECKING, to_python
from mongospec_core.errors import DefinitionError, OptionError, shown
from mongospec_core.model.binding import Binding, refuse_foreign
from mongospec_core.model.read import BatchReader, PlainReader
from mongospec_core.operations.cursor import Cursor, Query, ResultReader
from mongospec_core.operations.filters import Filter, encode_filter, or_all
from mongospec_core.operations.options import AggregateOptions, DistinctOptions, begin
from mongospec_core.operations.projection import ReadOperations

if TYPE_CHECKING:
    from typing_extensions import TypeForm

type Pipeline = Sequence[Mapping[str, Any]]
"""The stages of an aggregation; values may be dates, enums, decimals, documents as everywhere."""


class AggregateOperations(ReadOperations, abstract=True):
    """``aggregate``, ``distinct``."""

    @overload
    @classmethod
    def aggregate(
        cls, pipeline: Pipeline, *, into: None = None, **options: Unpack[AggregateOptions]
    ) -> Cursor[dict[str, Any]]: ...
    @overload
    @classmethod
    def aggregate[S: msgspec.Struct](
        cls, pipeline: Pipeline, *, into: type[S], **options: Unpack[AggregateOptions]
    ) -> Cursor[S]: ...
    @overload
    @classmethod
    def aggregate[S: msgspec.Struct](
        cls, pipeline: Pipeline, *, into: "TypeForm[S]", **options: Unpack[AggregateOptions]
    ) -> Cursor[S]: ...
    @classmethod
    def aggregate(
        cls,
        pipeline: Pipeline,
        *,
        into: Any = None,
        **options: Unpack[AggregateOptions],
    ) -> Cursor[Any]:
        """Return a cursor over the results of a pipeline. A family's tag scopes it, hooks do not.

        Sends nothing yet; reading sends one ``aggregate``, and a ``getMore`` for each further batch.

        :param pipeline: MongoDB's stages.
        :param into: a Struct that the results are read as, or a union of Structs with ``tag=``
            (``Cat | Dog``); None: plain dicts. A document class is only for pipelines that return
            whole documents: a field that a pipeline leaves out would be read as its default.
        :raises DocumentValidationError: while reading: a result does not fit *into*.

        .. code-block:: python

            class PerCity(msgspec.Struct, rename={"city": "_id"}):
                city: str
                people: int


            stages = [{"$group": {"_id": "$city", "people": {"$sum": 1}}}]
            async for each in User.aggregate(stages, into=PerCity):
                print(each.city, each.people)
        """
        binding, call = begin(cls, "aggregate", "aggregate", options, "read")
        given: Any = pipeline  # without a type checker it may be anything
        if not isinstance(given, Sequence) or not all(
            isinstance(stage, Mapping) for stage in cast("Sequence[object]", given)
        ):
            raise OptionError(f"{cls.__name__}.aggregate: a pipeline is a list of stages, of dicts")
        if any("$changeStream" in stage for stage in pipeline):
            raise OptionError(
                f"{cls.__name__}.aggregate: $changeStream never ends, so it is not read here; "
                f"use the driver's cursor: await {cls.__name__}.get_collection().aggregate("
                f'[{{"$changeStream": {{}}}}]), whose StopAsyncIteration only means "nothing yet"'
            )
        _refuse_into(cls, into)
        refuse_foreign(pipeline)
        whole = _scoped(binding, pipeline)
        stages = [named(cls.__name__, "a stage", encode, stage) for stage in whole]
        call.write = any("$out" in stage or "$merge" in stage for stage in pipeline)
        read = cls.__read__(unwrap(into), pipeline=True) if into is not None else None

        async def asked() -> list[bytes]:
            return stages

        def reader() -> BatchReader[Any]:
            return PlainReader() if read is None else ResultReader(read.reader(binding))

        query = Query[Any](call, "aggregate", asked, reader)
        return Cursor(query, options.get("batch_size"))

    @classmethod
    async def distinct(
        cls,
        field: str,
        filter: Filter | None = None,
        *,
        skip_hooks: bool = False,
        **options: Unpack[DistinctOptions],
    ) -> list[Any]:
        """Return the different values that a field has. Sends one ``distinct``.

        :param field: a stored name, or a path: ``"address.city"``.
        :param filter: a query; None: all documents. ``__pre_find__`` scopes it.
        :param skip_hooks: leave the hook out.
        :returns: the values; those of a field of the class have that field's type (members of an
            Enum, elements of an array), others are read as ``Any``.

        .. code-block:: python

            cities = await User.distinct("address.city", {"active": True})
        """
        binding, call = begin(cls, "distinct", "distinct", options, "read")
        if binding.paths is not None:
            binding.paths.at(field)
        query = await encode_filter(binding, or_all(filter), skip_hooks=skip_hooks)
        reply = decode(await call.send("distinct", field, query))
        values = cast("list[Any]", reply["values"])
        return cls._read_values(lambda reader: _typed(binding, field, values, reader))

    @classmethod
    def _read_values(cls, read: Callable[[Any], list[Any]]) -> list[Any]:
        """Read single values by a reader; packages built on core have another for their classes."""
        return read(CHECKING)


_FIRST = frozenset({"$geoNear", "$search", "$vectorSearch"})
"""Stages that must come first."""
_NOT_OF_DOCUMENTS = frozenset({"$collStats", "$indexStats", "$planCacheStats", "$searchMeta"})


def _scoped(binding: Binding, pipeline: Pipeline) -> Pipeline:
    """Return the pipeline restricted to documents of the class, if its collection has others."""
    if binding.scope is None or (pipeline and not _NOT_OF_DOCUMENTS.isdisjoint(pipeline[0])):
        return pipeline
    place = 1 if pipeline and not _FIRST.isdisjoint(pipeline[0]) else 0
    return [*pipeline[:place], {"$match": binding.scope.condition}, *pipeline[place:]]


def _refuse_into(cls: type, into: Any) -> None:
    """Refuse a type that results cannot be read as, before anything is sent."""
    tp = unwrap(into)
    union = get_origin(tp) in (Union, UnionType)
    arms = [get_origin(each) or each for each in (get_args(tp) if union else (tp,))]
    structs = all(isinstance(each, type) and issubclass(each, msgspec.Struct) for each in arms)
    documents = union and any(hasattr(each, "__bson_decoder__") for each in arms)
    if into is not None and (not structs or documents):
        raise OptionError(
            f"{cls.__name__}.aggregate: into={shown(into)}: use a msgspec.Struct class, which the "
            f"results are read as, or a union of some with tag=, or leave it out for dicts"
        )
    if union:
        try:
            plan_of(tp)
        except DefinitionError as error:
            raise OptionError(f"{cls.__name__}.aggregate: into={shown(into)}: {error}") from error


def _typed(binding: Binding, field: str, values: list[Any], reader: Any) -> list[Any]:
    """Return distinct values as their field reads them; as ``Any`` if the class does not have it."""
    plan = binding.plan
    if field in plan.encode_names:
        place = plan.encode_names.index(field)
        for read in (_value, _element):
            try:
                return [read(plan, place, value, reader) for value in values]
            except (msgspec.ValidationError, TypeError, ValueError):
                continue
    return [to_python(value) for value in values]


def _value(plan: Plan[Any], place: int, value: Any, reader: Any) -> Any:
    return plan.convert_field(place, value, reader)


def _element(plan: Plan[Any], place: int, value: Any, reader: Any) -> Any:
    """Read one value; the server returns the elements of an array, so each is read as an array."""
    (element,) = plan.convert_field(place, [value], reader)
    return element

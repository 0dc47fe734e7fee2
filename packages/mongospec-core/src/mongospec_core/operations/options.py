"""Options of operations: typed, checked, normalised."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, cast

from mongojet import ReadConcern, ReadPreference, WriteConcern

from mongospec_core.errors import OptionError, shown
from mongospec_core.model.binding import Binding, binding_of
from mongospec_core.model.read import OnInvalid
from mongospec_core.operations.path_checks import check_sort
from mongospec_core.server import place as places
from mongospec_core.server.driver import OPTIONS, ClientSession
from mongospec_core.server.indexes import key_document
from mongospec_core.server.operation import Operation
from mongospec_core.server.timeout import end_of

type Document = Mapping[str, Any]
type Sort = str | Mapping[str, Any] | Sequence[str | tuple[str, Any]]
"""pymongo's forms: ``"name"``, ``[("name", 1), ("age", -1)]``, ``{"name": 1}``."""
type Hint = str | Document


class Options(TypedDict, total=False):
    """The options of every operation.

    ``session`` a mongojet session, ``timeout`` seconds for the whole operation, ``comment`` a text
    for the server's logs.
    """

    session: ClientSession | None
    timeout: float | None
    comment: Any


class Checked(TypedDict, total=False):
    """``check=False``: the query is sent as it is, not checked against the class."""

    check: bool


class Upserting(TypedDict, total=False):
    """``on_insert=False``: what an upsert inserts does not get the defaults of the class."""

    on_insert: bool


class ReadOptions(Options, total=False):
    """The options of every read."""

    max_time_ms: int
    collation: Mapping[str, Any]
    read_concern: ReadConcern
    read_preference: ReadPreference


class FindOneOptions(ReadOptions, Checked, total=False):
    """The driver's options of ``find_one``."""

    sort: Sort | None
    skip: int
    allow_partial_results: bool
    max: Document
    min: Document
    hint: Hint
    max_scan: int
    return_key: bool
    show_record_id: bool
    let: Document


class FindOptions(FindOneOptions, total=False):
    """The driver's options of ``find``."""

    limit: int
    batch_size: int
    no_cursor_timeout: bool
    allow_disk_use: bool
    max_await_time_ms: int


class PageOptions(ReadOptions, Checked, total=False):
    """The driver's options of ``find`` that ``page`` takes."""

    allow_disk_use: bool
    allow_partial_results: bool
    hint: Hint
    let: Document


class CountOptions(ReadOptions, Checked, total=False):
    """The driver's options of ``count_documents``."""

    skip: int
    limit: int
    hint: Hint


class EstimatedCountOptions(Options, total=False):
    """The driver's options of ``estimated_document_count``."""

    max_time_ms: int
    read_concern: ReadConcern
    read_preference: ReadPreference


class DistinctOptions(ReadOptions, Checked, total=False):
    """The driver's options of ``distinct``."""


class AggregateOptions(ReadOptions, total=False):
    """The driver's options of ``aggregate``."""

    batch_size: int
    allow_disk_use: bool
    bypass_document_validation: bool
    hint: Hint
    let: Document
    max_await_time_ms: int
    write_concern: WriteConcern


class WriteOptions(Options, total=False):
    """The driver's options of inserts and saves of single documents."""

    bypass_document_validation: bool
    write_concern: WriteConcern


class FilteredOptions(Options, total=False):
    """The driver's options of every write by a filter."""

    collation: Mapping[str, Any]
    hint: Hint
    write_concern: WriteConcern
    let: Document


class ExistsOptions(FilteredOptions, Checked, total=False):
    """The driver's options of an upsert by ``$setOnInsert`` alone."""

    bypass_document_validation: bool


class UpdateOptions(ExistsOptions, Upserting, total=False):
    """The driver's options of ``update_one`` and ``update_many``."""

    array_filters: Sequence[Document]


class DeleteOptions(FilteredOptions, total=False):
    """The driver's options of a delete."""


class CheckedDeleteOptions(DeleteOptions, Checked, total=False):
    """The options of a delete by a filter of the caller's."""


class FindOneAndDeleteOptions(FilteredOptions, Checked, total=False):
    """The driver's options of ``find_one_and_delete``."""

    sort: Sort | None
    max_time_ms: int


class FindOneAndReplaceOptions(FindOneAndDeleteOptions, total=False):
    """The driver's options of ``find_one_and_replace``."""

    upsert: bool
    bypass_document_validation: bool


class FindOneAndUpdateOptions(FindOneAndReplaceOptions, Upserting, total=False):
    """The driver's options of ``find_one_and_update``."""

    array_filters: Sequence[Document]


class SaveManyOptions(WriteOptions, total=False):
    """The options of ``save_many``."""

    let: Document


class BulkOptions(SaveManyOptions, Checked, Upserting, total=False):
    """The options of ``bulk_write``."""


class ReadKeywords(TypedDict, total=False):
    """What the finders take by keyword beside the projection and the driver's options."""

    on_invalid: OnInvalid
    skip_hooks: bool


class FindOneKeywords(FindOneOptions, ReadKeywords, total=False):
    """The keywords of ``find_one`` and its like."""


class FindKeywords(FindOptions, ReadKeywords, total=False):
    """The keywords of ``find`` and ``find_all``."""


class PageKeywords(PageOptions, ReadKeywords, total=False):
    """The keywords of ``page``."""

    sort: Sort | None
    size: int
    after: str | None
    total: bool


type Kind = Literal["read", "write"]

COMMON_OPTIONS = frozenset({"session", "timeout"})
_READS = frozenset(
    {
        *("find", "find_one", "find_by_id", "find_all", "get_one", "get_by_id", "reload", "page"),
        *("find_one_and_update", "find_one_and_replace", "find_one_and_delete"),
    }
)
"""The operations that read by the class's ``__read__``."""
_CHECKED = frozenset(
    {
        *(*_READS, "fetch"),
        *("count", "count_documents", "exists", "distinct", "bulk_write", "insert_if_not_exists"),
        *("update_one", "update_many", "update_by_id", "delete_one", "delete_many", "delete_by_id"),
    }
)
"""The operations that take ``check=``."""
_UPSERTING = frozenset(
    {"update_one", "update_many", "update_by_id", "find_one_and_update", "bulk_write"}
)
"""The operations that take ``on_insert=``."""
HINTS = {
    "return_document": "use return_updated=True (the default) or return_updated=False",
    "cursor_type": "tailable cursors are not offered; use get_collection() for them",
    "projection": "this operation returns whole documents",
}


def begin(
    cls: type,
    operation: str,
    verb: str,
    options: Mapping[str, Any],
    kind: Kind,
    **more: Any,
) -> tuple[Binding, Operation]:
    """Return the class's binding, and the call that carries the operation's commands.

    With ``check=False`` it is a binding whose queries are not checked.

    :param verb: the driver's call whose options are allowed.
    :param more: options that the operation itself sets; None stands for not set.
    :raises NotBoundError: the class is not bound.
    :raises OptionError: an option that the operation does not take.
    """
    binding: Binding | None = None if places.used else cls.__dict__.get("__binding__")
    if binding is None:
        binding = binding_of(cls)
    name = f"{cls.__name__}.{operation}"
    session = timeout = None
    sent: dict[str, Any] = {}
    if options:
        sent = {**options}
        if operation in _CHECKED and not sent.pop("check", True):
            binding = binding.unchecked()
        if operation in _UPSERTING:
            sent.pop("on_insert", None)
        session, timeout = sent.pop("session", None), sent.pop("timeout", None)
        if session is not None and not isinstance(session, ClientSession):
            raise OptionError(f"{name}: session={shown(session)} is not a mongojet session")
        end_of(timeout, name)  # it is a number of seconds, or refused here
        _refuse_unknown(cls, operation, verb, sent)
        _refuse_other_types(name, sent)
        if sent.get("sort") is not None:
            sent["sort"] = sort_document(sent["sort"])
            if binding.paths is not None:
                check_sort(binding.paths, sent["sort"])
        if sent.get("batch_size") == 0:
            raise OptionError(f"{name}: batch_size=0 reads nothing; leave it out for 1,000")
    for option, value in more.items():
        if value is not None:
            sent.setdefault(option, value)
    return binding, Operation(binding.target, name, sent, kind == "write", session, timeout)


def _refuse_unknown(cls: type, operation: str, verb: str, options: Mapping[str, Any]) -> None:
    name = f"{cls.__name__}.{operation}"
    known = OPTIONS[verb]
    for option in options:
        if option in HINTS:
            raise OptionError(f"{name} does not take {option}=: {HINTS[option]}")
        if option not in known:
            named = _named_parameters(cls, operation)
            if operation in _READS:
                named |= cast("Any", cls).__read__.parameters
            common = COMMON_OPTIONS | ({"check"} if operation in _CHECKED else set())
            common |= {"on_insert"} if operation in _UPSERTING else set()
            offered = ", ".join(sorted((known - HINTS.keys()) | common | named))
            raise OptionError(f"{name} does not take {option}=; it takes {offered}")


_COUNT = (int,), "a whole number of at least 0"
_FLAG = (bool,), "True or False"
_DICT = (Mapping,), "a dict"
_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("skip", "limit", "batch_size", "max_scan"), _COUNT),
    **dict.fromkeys(("max_time_ms", "max_await_time_ms"), _COUNT),
    **dict.fromkeys(("allow_partial_results", "allow_disk_use", "no_cursor_timeout"), _FLAG),
    **dict.fromkeys(("return_key", "show_record_id", "bypass_document_validation"), _FLAG),
    **dict.fromkeys(("collation", "let", "max", "min"), _DICT),
    **dict.fromkeys(("read_concern", "read_preference", "write_concern"), _DICT),
    "hint": ((str, Mapping), "the name of an index, or a dict of its keys"),
    "array_filters": ((list, tuple), "a list of dicts"),
}
"""The types of the driver's options, and how an error names them; others take anything."""


def _refuse_other_types(name: str, options: Mapping[str, Any]) -> None:
    """Refuse options of another type by name, because the driver's own error does not name the option."""
    for option, value in options.items():
        types, expected = _TYPES.get(option, ((), ""))
        if value is None or not types:
            continue
        fits = isinstance(value, types)
        if types is _COUNT[0]:
            fits = type(value) is int and (value >= 0 or option == "limit")
        if not fits:
            raise OptionError(f"{name}: {option}={shown(value)} is not {expected}")


def _named_parameters(cls: type, operation: str) -> set[str]:
    """Return the keyword parameters of the method itself, including a subclass's own."""
    owned = (base.__dict__.get(operation) for base in cls.__mro__)
    method = next(filter(callable, (getattr(raw, "__func__", raw) for raw in owned)), None)
    if method is None:  # of another object, as a rollback is
        return set()
    parameters = inspect.signature(method).parameters.values()
    return {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}


def sort_document(sort: Sort) -> dict[str, Any]:
    """Convert any of pymongo's forms of a sort to the server's: field to direction, in order.

    :raises OptionError: *sort* is not one of them.
    """
    try:
        return key_document(sort)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f'sort={shown(sort)}: write "name", [("name", 1), ("age", -1)] or {{"name": 1}}'
        ) from error

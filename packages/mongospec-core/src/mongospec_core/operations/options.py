"""What an operation may be told besides its own arguments, typed."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from mongojet import ReadConcern, ReadPreference, WriteConcern

from mongospec_core.server.driver import ClientSession

type Document = Mapping[str, Any]
type Sort = str | Mapping[str, Any] | Sequence[str | tuple[str, Any]]
"""pymongo's forms: ``"name"``, ``[("name", 1), ("age", -1)]``, ``{"name": 1}``."""
type Hint = str | Document


class Options(TypedDict, total=False):
    """What every operation takes.

    ``session`` a mongojet session, ``timeout`` seconds for the whole operation, ``comment`` a text
    for the server's logs.
    """

    session: ClientSession | None
    timeout: float | None
    comment: Any


class ReadOptions(Options, total=False):
    """What every read takes."""

    max_time_ms: int
    collation: Mapping[str, Any]
    read_concern: ReadConcern
    read_preference: ReadPreference


class FindOneOptions(ReadOptions, total=False):
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


class CountOptions(ReadOptions, total=False):
    """The driver's options of ``count_documents``."""

    skip: int
    limit: int
    hint: Hint


class EstimatedCountOptions(Options, total=False):
    """The driver's options of ``estimated_document_count``."""

    max_time_ms: int
    read_concern: ReadConcern
    read_preference: ReadPreference


class DistinctOptions(ReadOptions, total=False):
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


class InsertOptions(Options, total=False):
    """The driver's options of ``insert_one`` and ``insert_many``."""

    bypass_document_validation: bool
    write_concern: WriteConcern


class UpdateOptions(Options, total=False):
    """The driver's options of ``update_one`` and ``update_many``."""

    bypass_document_validation: bool
    collation: Mapping[str, Any]
    array_filters: Sequence[Document]
    hint: Hint
    write_concern: WriteConcern
    let: Document


class SaveOptions(Options, total=False):
    """The driver's options of a save."""

    bypass_document_validation: bool
    write_concern: WriteConcern


class DeleteOptions(Options, total=False):
    """The driver's options of ``delete_one`` and ``delete_many``."""

    collation: Mapping[str, Any]
    hint: Hint
    write_concern: WriteConcern
    let: Document


class FindOneAndDeleteOptions(Options, total=False):
    """The driver's options of ``find_one_and_delete``."""

    sort: Sort | None
    hint: Hint
    collation: Mapping[str, Any]
    max_time_ms: int
    write_concern: WriteConcern
    let: Document


class FindOneAndReplaceOptions(FindOneAndDeleteOptions, total=False):
    """The driver's options of ``find_one_and_replace``."""

    upsert: bool
    bypass_document_validation: bool


class FindOneAndUpdateOptions(FindOneAndReplaceOptions, total=False):
    """The driver's options of ``find_one_and_update``."""

    array_filters: Sequence[Document]


class BulkOptions(Options, total=False):
    """The options of ``bulk_write`` and ``save_many``."""

    bypass_document_validation: bool
    write_concern: WriteConcern
    let: Document

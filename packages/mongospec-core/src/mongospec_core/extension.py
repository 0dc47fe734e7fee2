"""Extension points for packages built on core; users do not need them.

- :class:`Read` and :class:`Reader`: what a read asks for, and how its batches become instances.
  All finders of a document class make a read by its ``__read__``, which is :class:`Read` or a
  subclass with ``parameters`` of its own: keywords that the finders take as well.
- ``__bson_decoder__`` (a classmethod): how a raw value in a field annotated with the class becomes
  something that msgspec accepts; called once, when a plan is compiled (:func:`plan_of`).
- ``__bson_stored_as__`` (a classmethod, beside it): the stored type, for the check of queries;
  without it any value is allowed.
- :func:`register_builtin`: how values of a class and its subclasses are written, unless users
  register an encoder.
- :func:`begin` returns the class's :class:`Binding` and the :class:`Operation` that sends every
  command; :meth:`Binding.scoped` restricts a filter to documents of the class.
- :func:`class_cache`, :func:`forget_by`: caches that hold classes no longer than any is bound.
- the snapshot: what a document knows of its stored copy.
"""

from mongospec_core.codec.annotations import iter_types, resolve_names, type_args, unwrap
from mongospec_core.codec.bson_schema import bson_schema
from mongospec_core.codec.class_cache import class_cache, forget_by
from mongospec_core.codec.codec_options import DECIMAL_CODEC_OPTIONS, decode, encode, named
from mongospec_core.codec.elements import differing_elements, split_elements
from mongospec_core.codec.json import own_class
from mongospec_core.codec.paths import Node, StoredAs
from mongospec_core.codec.plan import Plan, plan_of
from mongospec_core.codec.raw_values import register_builtin, rejected, to_raw
from mongospec_core.codec.types import CHECKING, Decoder
from mongospec_core.declarations import declared_by_collection, declared_collections
from mongospec_core.errors import Outcome, shown
from mongospec_core.model.base import DocumentBase, attributes_of
from mongospec_core.model.binding import Binding, binding_of, reading_plan, refuse_elsewhere
from mongospec_core.model.change import Change, prepare, prepare_changed
from mongospec_core.model.collection_options import (
    DeclaredCollection,
    changed_options,
    coll_mod,
    existing_options,
    unchangeable,
)
from mongospec_core.model.family import collection_name_of, is_member
from mongospec_core.model.hooks import run_dict_hook, run_pre_save
from mongospec_core.model.ids import Ids, check_id, id_filter
from mongospec_core.model.metaclass import is_abstract
from mongospec_core.model.read import BatchReader, OnInvalid, Reader, settle_read
from mongospec_core.model.snapshot import (
    DELETED,
    UNKNOWN_CONTENT,
    Snapshot,
    copy_snapshot,
    is_new,
    place_of,
    set_place,
    set_snapshot,
    snapshot_of,
    with_fields,
)
from mongospec_core.model.write import checked, document_list, encode_document, to_raw_documents
from mongospec_core.operations.bulk_write import raise_for
from mongospec_core.operations.filters import Filter, as_id
from mongospec_core.operations.insert_many import InsertMany
from mongospec_core.operations.options import (
    DeleteOptions,
    FindKeywords,
    FindOneAndDeleteOptions,
    FindOneAndReplaceOptions,
    FindOneAndUpdateOptions,
    FindOneKeywords,
    FindOneOptions,
    Options,
    PageKeywords,
    SaveManyOptions,
    WriteOptions,
    begin,
)
from mongospec_core.operations.projection import Projection, Read
from mongospec_core.operations.save import (
    refuse_without_id,
    send,
    send_many,
)
from mongospec_core.operations.updates import Update, encode_update
from mongospec_core.server.bulk import BulkState, Statement
from mongospec_core.server.client import Target
from mongospec_core.server.driver_cursor import split_documents
from mongospec_core.server.driver_errors import to_operation_error
from mongospec_core.server.indexes import Declared, existing_indexes, same_index
from mongospec_core.server.operation import Operation, outcome_of
from mongospec_core.server.place import ANYWHERE, Place, tenants_exist
from mongospec_core.server.timeout import no_timeout

__all__ = (
    "ANYWHERE",
    "CHECKING",
    "DECIMAL_CODEC_OPTIONS",
    "DELETED",
    "UNKNOWN_CONTENT",
    "BatchReader",
    "Binding",
    "BulkState",
    "Change",
    "Declared",
    "DeclaredCollection",
    "Decoder",
    "DeleteOptions",
    "DocumentBase",
    "Filter",
    "FindKeywords",
    "FindOneAndDeleteOptions",
    "FindOneAndReplaceOptions",
    "FindOneAndUpdateOptions",
    "FindOneKeywords",
    "FindOneOptions",
    "Ids",
    "InsertMany",
    "Node",
    "OnInvalid",
    "Operation",
    "Options",
    "Outcome",
    "PageKeywords",
    "Place",
    "Plan",
    "Projection",
    "Read",
    "Reader",
    "SaveManyOptions",
    "Snapshot",
    "Statement",
    "StoredAs",
    "Target",
    "Update",
    "WriteOptions",
    "as_id",
    "attributes_of",
    "begin",
    "binding_of",
    "bson_schema",
    "changed_options",
    "check_id",
    "checked",
    "class_cache",
    "coll_mod",
    "collection_name_of",
    "copy_snapshot",
    "declared_by_collection",
    "declared_collections",
    "decode",
    "differing_elements",
    "document_list",
    "encode",
    "encode_document",
    "encode_update",
    "existing_indexes",
    "existing_options",
    "forget_by",
    "id_filter",
    "is_abstract",
    "is_member",
    "is_new",
    "iter_types",
    "named",
    "no_timeout",
    "outcome_of",
    "own_class",
    "place_of",
    "plan_of",
    "prepare",
    "prepare_changed",
    "raise_for",
    "reading_plan",
    "refuse_elsewhere",
    "refuse_without_id",
    "register_builtin",
    "rejected",
    "resolve_names",
    "run_dict_hook",
    "run_pre_save",
    "same_index",
    "send",
    "send_many",
    "set_place",
    "set_snapshot",
    "settle_read",
    "shown",
    "snapshot_of",
    "split_documents",
    "split_elements",
    "tenants_exist",
    "to_operation_error",
    "to_raw",
    "to_raw_documents",
    "type_args",
    "unchangeable",
    "unwrap",
    "with_fields",
)

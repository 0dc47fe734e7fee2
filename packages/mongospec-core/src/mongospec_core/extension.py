"""For packages built on core: its seams, and nothing that users need.

- :class:`Reading` and :class:`Reader`: what a read asks for, and how its batches become instances.
  The protected bodies ``_find``, ``_find_one``, ``_find_all`` and ``_find_one_and_*`` of a document
  class take a ``Reading``.
- ``__bson_decoder__`` (a classmethod): how a raw value in a field annotated with the class becomes
  something that msgspec accepts; asked once, when a plan is compiled (:func:`plan_of`).
- :func:`register_builtin`: how values of a family of classes are written, below what users register.
- :func:`begin` gives the class's :class:`Binding` and the :class:`Operation` through which every command
  goes; :func:`encode_filter` and :func:`by_id` make filters.
- the stored form: what a document knows of its copy in the database.
"""

from mongospec_core.codec.codec_options import (
    DECIMAL_CODEC_OPTIONS,
    encode,
    misfit,
    named,
    register_builtin,
    to_raw,
)
from mongospec_core.codec.field_codec import type_args, unwrap
from mongospec_core.codec.plan import Plan, forget_plan, plan_of
from mongospec_core.codec.types import CHECKING, Decoder
from mongospec_core.errors import Outcome, cut, shown
from mongospec_core.model.base import DocumentBase, attributes_of
from mongospec_core.model.binding import Binding, binding_of, is_bound
from mongospec_core.model.hooks import deep_copy, run_dict_hook, run_pre_save
from mongospec_core.model.metaclass import DocumentMeta, is_abstract
from mongospec_core.model.own_filter import check_id, id_filter
from mongospec_core.model.read import BatchReader, OnInvalid, Reader, settle_read
from mongospec_core.model.snapshot import (
    DELETED,
    UNKNOWN_CONTENT,
    changed_fields,
    is_new,
    remember_read,
    set_snapshot,
    snapshot_of,
    with_fields,
)
from mongospec_core.model.write import (
    Change,
    apply_outcome,
    check_class,
    checked,
    document_list,
    encode_document,
    prepare,
    should_validate,
    to_raw_documents,
)
from mongospec_core.operations.bulk_write import raise_for, result_of
from mongospec_core.operations.cursor import Cursor
from mongospec_core.operations.filters import Filter, as_id, by_id, encode_filter
from mongospec_core.operations.insert_many import Ids, InsertMany
from mongospec_core.operations.options import (
    BulkOptions,
    DeleteOptions,
    FindOneAndDeleteOptions,
    FindOneAndReplaceOptions,
    FindOneAndUpdateOptions,
    FindOneOptions,
    FindOptions,
    InsertOptions,
    Options,
    PageOptions,
    SaveOptions,
    Sort,
    UpdateOptions,
    begin,
)
from mongospec_core.operations.projection import Projection, Reading
from mongospec_core.operations.save import (
    refuse_without_id,
    save_document,
    send,
    send_many,
)
from mongospec_core.operations.updates import Update, encode_update
from mongospec_core.server.bulk import Sent, Statement, send_statements
from mongospec_core.server.client import Target
from mongospec_core.server.driver_cursor import split_documents
from mongospec_core.server.operation import Operation, outcome_of
from mongospec_core.server.timeout import no_timeout

__all__ = (
    "CHECKING",
    "DECIMAL_CODEC_OPTIONS",
    "DELETED",
    "UNKNOWN_CONTENT",
    "BatchReader",
    "Binding",
    "BulkOptions",
    "Change",
    "Cursor",
    "Decoder",
    "DeleteOptions",
    "DocumentBase",
    "DocumentMeta",
    "Filter",
    "FindOneAndDeleteOptions",
    "FindOneAndReplaceOptions",
    "FindOneAndUpdateOptions",
    "FindOneOptions",
    "FindOptions",
    "Ids",
    "InsertMany",
    "InsertOptions",
    "OnInvalid",
    "Operation",
    "Options",
    "Outcome",
    "PageOptions",
    "Plan",
    "Projection",
    "Reader",
    "Reading",
    "SaveOptions",
    "Sent",
    "Sort",
    "Statement",
    "Target",
    "Update",
    "UpdateOptions",
    "apply_outcome",
    "as_id",
    "attributes_of",
    "begin",
    "binding_of",
    "by_id",
    "changed_fields",
    "check_class",
    "check_id",
    "checked",
    "cut",
    "deep_copy",
    "document_list",
    "encode",
    "encode_document",
    "encode_filter",
    "encode_update",
    "forget_plan",
    "id_filter",
    "is_abstract",
    "is_bound",
    "is_new",
    "misfit",
    "named",
    "no_timeout",
    "outcome_of",
    "plan_of",
    "prepare",
    "raise_for",
    "refuse_without_id",
    "register_builtin",
    "remember_read",
    "result_of",
    "run_dict_hook",
    "run_pre_save",
    "save_document",
    "send",
    "send_many",
    "send_statements",
    "set_snapshot",
    "settle_read",
    "should_validate",
    "shown",
    "snapshot_of",
    "split_documents",
    "to_raw",
    "to_raw_documents",
    "type_args",
    "unwrap",
    "with_fields",
)

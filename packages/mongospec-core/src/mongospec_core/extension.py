"""For packages built on core: its seams, and nothing that users need.

- :class:`Reading` and :class:`Reader`: what a read asks for, and how its batches become instances.
  The protected bodies ``_find``, ``_find_one``, ``_find_all`` and ``_find_one_and_*`` of a document
  class take a ``Reading``.
- ``__bson_decoder__`` (a classmethod): how a raw value in a field annotated with the class becomes
  something that msgspec accepts; asked once, when a plan is compiled (:func:`plan_of`).
- :func:`register_builtin`: how values of a family of classes are written, below what users register.
- :func:`begin` gives the class's :class:`Binding` and the :class:`Call` through which every command
  goes; :func:`scoped` and :func:`by_id` make filters.
- the stored form: what a document knows of its copy in the database.
"""

from mongospec_core.codec.codec_options import DECIMAL, encode, register_builtin, to_raw
from mongospec_core.codec.field_codec import bare, parts_of
from mongospec_core.codec.plan import Plan, forget_plan, plan_of
from mongospec_core.codec.types import CHECKING, Decoder
from mongospec_core.codec.validation import misfit
from mongospec_core.errors import Outcome
from mongospec_core.model.base import DocumentBase
from mongospec_core.model.binding import Binding, binding_of, is_bound
from mongospec_core.model.hooks import deep_copy, run_dict_hook, run_pre_save
from mongospec_core.model.metaclass import DocumentMeta, is_abstract
from mongospec_core.model.read import BatchReader, OnInvalid, Reader, settle_read
from mongospec_core.model.snapshot import (
    GONE,
    STORED,
    difference,
    is_new,
    remember_read,
    remember_written,
    set_stored_form,
    stored_form,
)
from mongospec_core.model.write import listed, refuse_others, to_bson, to_stored, validates
from mongospec_core.operations.bulk_write import raise_for, result_of
from mongospec_core.operations.cursor import Cursor
from mongospec_core.operations.filters import Filter, as_id, by_id, scoped
from mongospec_core.operations.insert_many import Ids, InsertMany, settle_insert
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
    SaveOptions,
    UpdateOptions,
    begin,
)
from mongospec_core.operations.projection import Projection, Reading
from mongospec_core.operations.save import (
    refuse_without_id,
    save_changes,
    save_document,
    settle_save,
    update_for,
)
from mongospec_core.operations.updates import Update, final_update
from mongospec_core.server.bulk import Sent, Statement, send_statements
from mongospec_core.server.client import Target
from mongospec_core.server.driver_cursor import elements
from mongospec_core.server.operation import Call, outcome_of
from mongospec_core.server.timeout import untimed

__all__ = (
    "CHECKING",
    "DECIMAL",
    "GONE",
    "STORED",
    "BatchReader",
    "Binding",
    "BulkOptions",
    "Call",
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
    "Options",
    "Outcome",
    "Plan",
    "Projection",
    "Reader",
    "Reading",
    "SaveOptions",
    "Sent",
    "Statement",
    "Target",
    "Update",
    "UpdateOptions",
    "as_id",
    "bare",
    "begin",
    "binding_of",
    "by_id",
    "deep_copy",
    "difference",
    "elements",
    "encode",
    "final_update",
    "forget_plan",
    "is_abstract",
    "is_bound",
    "is_new",
    "listed",
    "misfit",
    "outcome_of",
    "parts_of",
    "plan_of",
    "raise_for",
    "refuse_others",
    "refuse_without_id",
    "register_builtin",
    "remember_read",
    "remember_written",
    "result_of",
    "run_dict_hook",
    "run_pre_save",
    "save_changes",
    "save_document",
    "scoped",
    "send_statements",
    "set_stored_form",
    "settle_insert",
    "settle_read",
    "settle_save",
    "stored_form",
    "to_bson",
    "to_raw",
    "to_stored",
    "untimed",
    "update_for",
    "validates",
)

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

from mongospec_core.codec.misfit import misfit
from mongospec_core.codec.plan import Plan, forget_plan, plan_of
from mongospec_core.codec.scalars import CHECKING, Decoder
from mongospec_core.codec.shape import bare, parts_of
from mongospec_core.codec.values import DECIMAL, encode, register_builtin, to_raw
from mongospec_core.document.base import DocumentBase
from mongospec_core.document.binding import Binding, binding_of, is_bound
from mongospec_core.document.hooks import deep_copy, run_dict_hook, run_pre_save
from mongospec_core.document.meta import DocumentMeta, is_abstract
from mongospec_core.document.reader import OnInvalid, Reader, settle_read
from mongospec_core.document.stored import (
    GONE,
    STORED,
    difference,
    is_new,
    remember_read,
    remember_written,
    set_stored_form,
    stored_form,
)
from mongospec_core.document.writer import listed, refuse_others, to_bson, to_stored, validates
from mongospec_core.errors import Outcome
from mongospec_core.operations.beginning import begin
from mongospec_core.operations.bulk_outcome import raise_for, result_of
from mongospec_core.operations.cursor import BatchReader, Cursor
from mongospec_core.operations.filters import Filter, as_id, by_id, scoped
from mongospec_core.operations.inserting import Ids, InsertMany, settle_insert
from mongospec_core.operations.operators import Update, final_update
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
)
from mongospec_core.operations.reading import Projection, Reading
from mongospec_core.operations.save import (
    refuse_without_id,
    save_document,
    settle_save,
    update_for,
)
from mongospec_core.operations.save_many import save_changes
from mongospec_core.server.batches import elements
from mongospec_core.server.deadline import untimed
from mongospec_core.server.door import Call, outcome_of
from mongospec_core.server.statements import Sent, Statement, send_statements
from mongospec_core.server.target import Target

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

"""Find the document classes of an application's packages."""

from mongospec_discovery.document_types import collect_document_types

__all__ = ("collect_document_types",)

"""Helpers around ``init()``."""

from mongospec_discovery import collect_document_types

__all__ = ("collect_document_types",)

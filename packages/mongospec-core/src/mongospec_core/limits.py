"""The server's limits, as MongoDB documents them under "MongoDB Limits and Thresholds"."""

from mongospec_core.errors import EncodingError

MAX_NESTING = 100
"""Levels of documents and arrays in a document; the document itself is one.

The driver has no limit: it reads documents recursively, and thousands of levels crash the process.
"""

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
"""One document, or one statement of a bulk write."""

MAX_COMMAND_BYTES = 16_000_000
"""The statements of one command; the server accepts 16 KB more, which are left for the rest of it."""

MAX_MESSAGE_BYTES = 40_000_000
"""The documents of one message; the server accepts 48,000,000 with the command around them."""

MAX_STATEMENTS = 100_000
"""The statements, or documents, of one write command."""


def oversized(what: str, data: bytes) -> EncodingError:
    """Return the error for a document or statement of more than MAX_DOCUMENT_BYTES."""
    return EncodingError(
        f"{what} takes {len(data):,} bytes, more than the {MAX_DOCUMENT_BYTES:,} of a MongoDB "
        f"document (nothing was written)"
    )

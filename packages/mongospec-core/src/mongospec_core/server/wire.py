"""How commands spell what the driver's calls take as options."""

from collections.abc import Mapping
from typing import Any

from mongospec_core.errors import OptionError

WIRE_NAMES = {
    "batch_size": "batchSize",
    "max_time_ms": "maxTimeMS",
    "allow_partial_results": "allowPartialResults",
    "allow_disk_use": "allowDiskUse",
    "no_cursor_timeout": "noCursorTimeout",
    "return_key": "returnKey",
    "show_record_id": "showRecordId",
    "read_concern": "readConcern",
    "write_concern": "writeConcern",
    "bypass_document_validation": "bypassDocumentValidation",
}
"""The driver's option names that commands spell otherwise."""

_OF_WRITES = ("write_concern", "bypass_document_validation", "let", "comment")


def write_fields(
    options: Mapping[str, Any], default: Mapping[str, Any] | None, operation: str
) -> dict[str, Any]:
    """The options that a write command takes as a whole, as its fields.

    :param default: the write concern where the options have none.
    :raises OptionError: nobody would know what was written.
    """
    fields = {WIRE_NAMES.get(name, name): options[name] for name in _OF_WRITES if name in options}
    if default:
        fields.setdefault("writeConcern", default)
    if fields.get("writeConcern", {}).get("w") == 0:
        raise OptionError(
            f"{operation}: with the write concern w=0 nobody would know what was written; use w=1 "
            f"or more"
        )
    return fields


def milliseconds(seconds: float) -> int:
    """A time as ``maxTimeMS`` takes it, for which 0 is no limit."""
    return max(1, int(seconds * 1000))

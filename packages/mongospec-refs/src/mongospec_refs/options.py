"""Which of a caller's options go along with the further commands of the operation."""

from collections.abc import Mapping
from typing import Any

from mongospec_core.extension import Call

READS = ("read_preference", "read_concern", "comment")
WRITES = ("write_concern", "bypass_document_validation", "comment")


def along(names: tuple[str, ...], call: Call) -> Mapping[str, Any]:
    """The options among *names* that *call* was given."""
    return {name: call.options[name] for name in names if name in call.options}

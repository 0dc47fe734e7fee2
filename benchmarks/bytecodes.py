"""How many bytecodes an operation executes: a measure that needs no quiet machine.

Counted is all Python below the call, whoever wrote it, but for the benchmark's own (it stands in for
the driver) and the event loop's; compiled code counts nothing. The same code has the same count
each time.
"""

import asyncio
import gc
import selectors
import sys
import threading
from collections.abc import Awaitable
from pathlib import Path
from types import CodeType
from typing import Any

_UNCOUNTED = (str(Path(__file__).parent), str(Path(asyncio.__file__).parent), selectors.__file__)


async def count(operation: Awaitable[Any]) -> int:
    """Await an operation while nothing else happens in the event loop, and count."""
    monitoring = sys.monitoring
    event = monitoring.events.INSTRUCTION
    # Other tools, coverage among them, have ids of their own.
    tool = next(each for each in (4, 3, 0, 2, 1) if monitoring.get_tool(each) is None)
    thread = threading.get_ident()
    counted = 0

    def executed(code: CodeType, _offset: int) -> Any:
        nonlocal counted
        if code.co_filename.startswith(_UNCOUNTED):
            return monitoring.DISABLE
        if threading.get_ident() == thread:
            counted += 1
        return None

    collecting = gc.isenabled()
    gc.disable()  # finalizers are Python as well
    monitoring.use_tool_id(tool, "mongospec's benchmarks")
    try:
        monitoring.register_callback(tool, event, executed)
        monitoring.set_events(tool, event)
        await operation
        monitoring.set_events(tool, 0)
        return counted
    finally:
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)
        monitoring.restart_events()  # what was disabled here is not for the next one
        if collecting:
            gc.enable()

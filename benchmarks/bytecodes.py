"""How many bytecodes an operation executes: a measure that needs no quiet machine.

Counted is all Python below the call, whoever wrote it, but for the benchmark's own stand-in for the
driver; compiled code counts nothing. The same code gives the same count each time.
"""

import gc
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import CodeType
from typing import Any

from benchmarks.rows import BY_TITLE
from benchmarks.worker import Worker

_HERE = str(Path(__file__).parent)
_DOCUMENTS = 100


def count(coroutine: Coroutine[Any, Any, Any]) -> int:
    """Run a coroutine that never has to wait, and count.

    :raises RuntimeError: it waits, so other code would be counted too.
    """
    monitoring = sys.monitoring
    tool = next(each for each in (4, 3, 0, 2, 1) if monitoring.get_tool(each) is None)
    thread = threading.get_ident()
    counted = 0

    def executed(code: CodeType, _offset: int) -> Any:
        nonlocal counted
        if code.co_filename.startswith(_HERE):
            return monitoring.DISABLE
        if threading.get_ident() == thread:
            counted += 1
        return None

    event = monitoring.events.INSTRUCTION
    collecting = gc.isenabled()
    gc.disable()  # finalizers are Python as well
    monitoring.use_tool_id(tool, "mongospec's benchmarks")
    try:
        monitoring.register_callback(tool, event, executed)
        monitoring.set_events(tool, event)
        try:
            coroutine.send(None)
        except StopIteration:
            monitoring.set_events(tool, 0)
            return counted
        raise RuntimeError(f"{coroutine!r} waits for something")
    finally:
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)
        monitoring.restart_events()
        if collecting:
            gc.enable()


async def bytecodes(worker: Worker, row: str) -> int:
    """The bytecodes of one operation of a row, or for one document where it handles many.

    :param worker: one on ready bytes; see :func:`benchmarks.worker.ready`.
    """
    work = BY_TITLE[row]
    method = getattr(worker._contender, work.method)
    given = await worker._given(work, _DOCUMENTS)
    if not work.batch:
        for each in given[:2]:  # what is done once has been done
            await method(*each)
        return count(method(*given[2]))
    await method(*(await worker._given(work, _DOCUMENTS))[0])
    return round(count(method(*given[0])) / _DOCUMENTS)

"""An event loop in a thread of its own: it goes on whichever loop a test runs, or blocks."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self


class LoopThread:
    """Run coroutines from synchronous code, and beside any other event loop.

    :param name: the thread's name.
    """

    def __init__(self, name: str) -> None:
        # The one that has add_reader on every system.
        self.loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.get_loop().run_forever()

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def stop(self) -> None:
        """Cancel what still runs there, and end the thread; harmless when repeated."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

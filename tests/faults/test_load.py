"""A short form of benchmarks/load.py: many tasks write while the server is killed and started again."""

import asyncio
import sys
from pathlib import Path

import pytest

from benchmarks.load import Server, run


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the embedded server is for Python 3.13")
async def test_what_was_acknowledged_survives_a_killed_server(tmp_path: Path) -> None:
    server = Server(tmp_path)
    await asyncio.to_thread(server.start)
    try:
        report = await run(server, tasks=8, seconds=5, kills=1)
    finally:
        server.kill()
    assert report.wrong == []
    assert report.kills == 1
    assert report.outcomes["done"] > 50

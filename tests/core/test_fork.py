"""A process that forks: its child is told, and nothing hangs."""

import asyncio
import subprocess
import sys
from pathlib import Path

import mongojet
import pytest

from mongospec_testing import MongoServer

FORKING = """
import asyncio, os, signal, sys
import mongojet
from mongospec_core import MongoDocument, MongospecError, close, init

class Run(MongoDocument):
    number: int

async def bound():  # nothing of the driver works in a child any more, so nor does a new client
    client = await mongojet.create_client(sys.argv[1])
    await init(client[sys.argv[2]], document_types=[Run])
    await Run(number=1).insert()

async def refused(use):
    try:
        await use()
    except MongospecError as error:
        return "os.fork()" in str(error) and isinstance(error, ConnectionError)

async def again():
    await init(Run.get_collection().database, document_types=[Run])

asyncio.run(bound())
child = os.fork()
if child == 0:
    signal.alarm(30)  # a call that hangs ends here
    uses = [Run.count, Run(number=2).insert, Run.find().to_list, again]
    os._exit(0 if all(asyncio.run(refused(each)) for each in uses) else 1)
_, status = os.waitpid(child, 0)

async def end():
    assert await Run.count() == 1
    await close()

asyncio.run(end())
sys.exit(os.waitstatus_to_exitcode(status))
"""


FORKING_LATER = """
import asyncio, gc, os, signal, sys
from mongospec_core import MongoDocument, ServerUnavailableError, connect

class Run(MongoDocument):
    number: int

async def use():
    async with connect(sys.argv[1], database=sys.argv[2], document_types=[Run]):
        await Run.count()

asyncio.run(use())  # a migration before the workers are forked: its client is closed and gone
gc.collect()
child = os.fork()
if child == 0:
    signal.alarm(30)
    try:
        asyncio.run(use())
    except ServerUnavailableError as error:
        os._exit(0 if "connect()" in str(error) and "os.fork()" in str(error) else 1)
    os._exit(2)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("text", [FORKING, FORKING_LATER], ids=["bound", "closed"])
async def test_after_a_fork_a_use_raises_instead_of_hanging(
    mongo_server: MongoServer, mongo_db: mongojet.Database, tmp_path: Path, text: str
) -> None:
    script = tmp_path / "forking.py"
    script.write_text(text)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "ignore", str(script), mongo_server.uri, mongo_db.name],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")

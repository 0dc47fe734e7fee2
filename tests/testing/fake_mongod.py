"""Stands in for a `mongod` on machines that have none: mongod's command line and its way into a replica set, in front
of the embedded server.

Not a member of any set until it has got `replSetInitiate` with a member that it is itself; then a primary. Unknown
flags end it, as they end mongod. FAKE_MONGOD_STARTS names a file to which each start adds a line with its arguments;
FAKE_MONGOD_EXITS is a list of exit statuses with which the first starts end. FAKE_MONGOD_MEMBER is the address by which
it knows itself, if that is not the one that it listens on.
"""

import argparse
import os
import sys
import threading
from pathlib import Path
from typing import Any

from mongospec_testing import Command, FaultProxy
from mongospec_testing.sources import embedded
from mongospec_testing.sources.mongod import free_port


def main() -> None:
    starts = Path(os.environ["FAKE_MONGOD_STARTS"])
    with starts.open("a") as file:
        file.write(f"{' '.join(sys.argv[1:])}\n")
    number = len(starts.read_text().splitlines())
    exits = os.environ.get("FAKE_MONGOD_EXITS", "").split()
    options = parse_arguments()
    if number <= len(exits):
        print(f"exception: exit {exits[number - 1]} was asked for", flush=True)  # noqa: T201
        sys.exit(int(exits[number - 1]))
    inner = free_port()
    command = [part.replace("{dir}", options.dbpath) for part in embedded.command_line(inner)]
    # In the same process group, as all children of the real thing would be.
    server = os.spawnv(os.P_NOWAIT, command[0], command)
    become_member(f"mongodb://127.0.0.1:{inner}/", options)
    os.waitpid(server, 0)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--dbpath", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bind_ip", required=True)
    parser.add_argument("--replSet", required=True)
    parser.add_argument("--oplogSize", type=int)
    parser.add_argument("--wiredTigerCacheSizeGB", type=float)
    parser.add_argument("--setParameter", action="append")
    parser.add_argument("--nounixsocket", action="store_true")
    return parser.parse_args()


def become_member(uri: str, options: argparse.Namespace) -> None:
    while True:
        try:
            proxy = FaultProxy(uri, port=options.port).start()
            break
        except RuntimeError:  # the server behind it is still starting
            threading.Event().wait(0.05)
    initiated = threading.Event()

    def hello(reply: dict[str, Any]) -> dict[str, Any]:
        if initiated.is_set():
            return {**reply, "setName": options.replSet}
        for name in ("setName", "hosts", "me", "primary", "setVersion", "electionId"):
            reply.pop(name, None)
        return {**reply, "isWritablePrimary": False, "ismaster": False, "isreplicaset": True}

    def is_right(command: Command) -> bool:
        host = os.environ.get("FAKE_MONGOD_MEMBER", f"127.0.0.1:{options.port}")
        me = {"_id": 0, "host": host}
        right: bool = command.body["replSetInitiate"] == {"_id": options.replSet, "members": [me]}
        if right:
            initiated.set()
        return right

    proxy.rewrite({"hello", "isMaster", "ismaster"}, hello)
    proxy.reply("replSetInitiate", {"ok": 1.0}, where=is_right)
    proxy.fail("replSetInitiate", 74, message="no member of the config is this node")


if __name__ == "__main__":
    main()

"""Make a fresh ``mongod`` a replica set of one member: only replica sets have transactions."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from mongospec_testing.errors import ServerNotAvailableError
from mongospec_testing.startup import Starting, wait_for
from mongospec_testing.uri import Address
from mongospec_testing.wire import ask

NAME = "rs0"


def initiate(server: Starting, address: Address, *, member: Address) -> None:
    """Make the server the primary of a replica set of its own.

    :param address: its address for us.
    :param member: its address for itself, another one if it runs in a container.
    :raises ServerNotAvailableError: if it refuses, or does not become primary.
    """
    wait_for(server, "it answered", partial(ask, address, {"hello": 1}))
    config = {"_id": NAME, "members": [{"_id": 0, "host": str(member)}]}
    command = {"replSetInitiate": config}
    reply = wait_for(server, "it took replSetInitiate", partial(ask, address, command, timeout=30))
    if not reply.get("ok"):
        raise ServerNotAvailableError(
            f"the server refused replSetInitiate: {reply.get('errmsg', reply)}"
        )
    wait_for(server, "it became primary", lambda: _primary(ask(address, {"hello": 1})))


def _primary(hello: Mapping[str, Any] | None) -> bool | None:
    return True if hello is not None and hello.get("isWritablePrimary") else None

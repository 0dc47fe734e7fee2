"""Where a bound class's operations go."""

from typing import Any

import mongojet
from bson.codec_options import CodecOptions

from mongospec_core.server.clients import ClientState, state_of
from mongospec_core.server.deadline import end_of
from mongospec_core.server.driver import client_of


class Target:
    """A collection, the client that it belongs to, and how values go in and out."""

    __slots__ = ("client", "codec", "collection", "database", "name", "owner", "state", "timeout")

    def __init__(
        self,
        owner: str,
        database: mongojet.Database,
        name: str,
        codec: CodecOptions[dict[str, Any]],
        timeout: float | None,
    ) -> None:
        self.owner: str = owner  # the class's name, for messages
        self.database: mongojet.Database = database
        self.client: mongojet.Client = client_of(database)
        self.state: ClientState = state_of(self.client)
        self.name: str = name
        self.codec: CodecOptions[dict[str, Any]] = codec
        end_of(timeout)  # it is a number of seconds, or refused here
        self.timeout: float | None = timeout
        collections: Any = database  # the driver's annotation leaves the codec's type out
        self.collection: mongojet.Collection = collections.get_collection(name, codec_options=codec)

"""The parts of a connection string that this package needs, without a driver's whole parser."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import parse_qsl

DEFAULT_PORT = 27017


@dataclass(frozen=True)
class Address:
    """One ``host:port``."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Take ``host``, ``host:port`` or ``[v6]:port`` apart."""
        host, colon, port = text.rpartition(":")
        if not colon or port.endswith("]"):
            host, port = text, str(DEFAULT_PORT)
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class MongoUri:
    """A ``mongodb://`` or ``mongodb+srv://`` connection string in parts."""

    scheme: str
    credentials: str
    hosts: tuple[str, ...]
    tail: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """:raises ValueError: if the text is not a MongoDB connection string."""
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in {"mongodb", "mongodb+srv"}:
            raise ValueError("a MongoDB connection string starts with mongodb:// or mongodb+srv://")
        end = min((i for i in (rest.find("/"), rest.find("?")) if i >= 0), default=len(rest))
        credentials, _, hosts = rest[:end].rpartition("@")
        if not hosts:
            raise ValueError("the connection string names no host")
        return cls(scheme, credentials, tuple(hosts.split(",")), rest[end:])

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(Address.parse(host) for host in self.hosts)

    @property
    def options(self) -> dict[str, str]:
        """The options; their names are not case-sensitive and are in lower case here."""
        return {name.lower(): value for name, value in parse_qsl(self.tail.partition("?")[2])}

    @property
    def tls(self) -> bool:
        return (
            self.options.get(
                "tls", self.options.get("ssl", str(self.scheme == "mongodb+srv"))
            ).lower()
            == "true"
        )

    def at(self, addresses: Sequence[Address]) -> Self:
        """Return the same string for other hosts."""
        return replace(self, hosts=tuple(str(address) for address in addresses))

    def with_default(self, name: str, value: str) -> Self:
        """Return the same string with an option, unless it has that option already."""
        if name.lower() in self.options:
            return self
        path, _, options = self.tail.partition("?")
        return replace(self, tail=f"{path or '/'}?{options}{'&' if options else ''}{name}={value}")

    @property
    def public(self) -> str:
        """The string without its credentials, for messages."""
        return str(replace(self, credentials=""))

    def __str__(self) -> str:
        credentials = f"{self.credentials}@" if self.credentials else ""
        return f"{self.scheme}://{credentials}{','.join(self.hosts)}{self.tail}"

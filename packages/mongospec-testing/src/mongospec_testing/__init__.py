"""A MongoDB for tests, and a wire proxy that counts commands and makes faults.

The public names are loaded on first use: pytest imports this package in every run of an environment that has it
installed, and a run that asks for none of its fixtures should not pay for the driver.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from mongospec_testing.errors import ProxyError, ServerNotAvailableError
    from mongospec_testing.proxy import FaultProxy
    from mongospec_testing.rules import Rule
    from mongospec_testing.server import MongoServer
    from mongospec_testing.traffic import Command, MaxQueries, QueryLimit

__all__ = [
    "Command",
    "FaultProxy",
    "MaxQueries",
    "MongoServer",
    "ProxyError",
    "QueryLimit",
    "Rule",
    "ServerNotAvailableError",
]

_HOMES = {
    "Command": "traffic",
    "FaultProxy": "proxy",
    "MaxQueries": "traffic",
    "MongoServer": "server",
    "ProxyError": "errors",
    "QueryLimit": "traffic",
    "Rule": "rules",
    "ServerNotAvailableError": "errors",
}


def __getattr__(name: str) -> typing.Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

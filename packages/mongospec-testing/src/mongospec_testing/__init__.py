"""A MongoDB for tests, and a wire proxy that counts commands and makes faults.

The public names are loaded on first use: pytest imports this package in every run of an environment that has it
installed, and a run that asks for none of its fixtures should not pay for the driver.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mongospec_testing.errors import ProxyError, ServerNotAvailableError
    from mongospec_testing.server import MongoServer

__all__ = [
    "MongoServer",
    "ProxyError",
    "ServerNotAvailableError",
]

_HOMES = {
    "MongoServer": "server",
    "ProxyError": "errors",
    "ServerNotAvailableError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""The errors of this package.

RuntimeError
├── ServerNotAvailableError     no server could be had: what is missing, and how to get it
└── ProxyError                  a FaultProxy cannot stand in front of this server
"""


class ServerNotAvailableError(RuntimeError):
    """No MongoDB could be had in the way that was asked for; the message says what is missing and how to get it."""


class ProxyError(RuntimeError):
    """A :class:`~mongospec_testing.FaultProxy` cannot stand in front of this server, or is not running."""

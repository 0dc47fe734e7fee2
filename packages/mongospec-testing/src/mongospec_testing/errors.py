"""The errors of this package.

RuntimeError
├── ServerNotAvailableError     no server is available: what is missing, and how to get it
└── ProxyError                  a FaultProxy cannot stand in front of this server
"""


class ServerNotAvailableError(RuntimeError):
    """No MongoDB is available from the source that was asked for; the message says what is missing and how to get it."""


class ProxyError(RuntimeError):
    """A :class:`~mongospec_testing.FaultProxy` cannot stand in front of this server, or is not running."""

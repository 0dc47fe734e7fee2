"""How every operation begins: its options checked, its class's binding, its call."""

import inspect
from collections.abc import Mapping
from typing import Any, Literal

from mongospec_core.document.binding import Binding, binding_of
from mongospec_core.errors import OptionError
from mongospec_core.operations.options import Sort
from mongospec_core.server.door import Call
from mongospec_core.server.driver import OPTIONS, ClientSession

type Kind = Literal["read", "write"]

_OURS = frozenset({"session", "timeout"})
_INSTEAD = {
    "return_document": "say return_updated=True (the default) or return_updated=False",
    "cursor_type": "tailable cursors are not offered; use get_collection() for them",
    "projection": "this operation gives whole documents",
}


def begin(
    cls: type,
    operation: str,
    verb: str,
    options: Mapping[str, Any],
    kind: Kind,
    **more: Any,
) -> tuple[Binding, Call]:
    """The class's binding, and the call that carries the operation's commands.

    :param verb: the driver's call whose options are allowed.
    :param more: options that the operation itself sets; None stands for not set.
    :raises NotBoundError: the class is not bound.
    :raises OptionError: an option that the operation does not take.
    """
    binding = binding_of(cls)
    name = f"{cls.__name__}.{operation}"
    session = timeout = None
    sent: dict[str, Any] = {}
    if options:
        sent = {**options}
        session, timeout = sent.pop("session", None), sent.pop("timeout", None)
        if session is not None and not isinstance(session, ClientSession):
            raise OptionError(f"{name}: session={session!r} is no session of mongojet's")
        if timeout is not None and not isinstance(timeout, int | float):
            raise OptionError(f"{name}: timeout={timeout!r} is no number of seconds")
        _refuse_unknown(cls, operation, verb, sent)
        _refuse_bad_counts(name, sent)
        if sent.get("sort") is not None:
            sent["sort"] = sort_document(sent["sort"])
        if sent.get("batch_size") == 0:
            raise OptionError(f"{name}: batch_size=0 reads nothing; leave it out for 1,000")
    for option, value in more.items():
        if value is not None:
            sent.setdefault(option, value)
    write = kind == "write"
    return binding, Call(binding.target, name, sent, write=write, session=session, timeout=timeout)


def _refuse_unknown(cls: type, operation: str, verb: str, options: Mapping[str, Any]) -> None:
    name = f"{cls.__name__}.{operation}"
    known = OPTIONS[verb]
    for option in options:
        if option in _INSTEAD:
            raise OptionError(f"{name} does not take {option}=: {_INSTEAD[option]}")
        if option not in known:
            named = _named_parameters(cls, operation)
            offered = ", ".join(sorted((known - _INSTEAD.keys()) | _OURS | named))
            raise OptionError(f"{name} does not take {option}=; it takes {offered}")


_COUNTS = ("skip", "limit", "batch_size", "max_time_ms", "max_await_time_ms")


def _refuse_bad_counts(name: str, options: Mapping[str, Any]) -> None:
    """The driver's own error does not say which of the options it means."""
    for option in _COUNTS:
        value = options.get(option)
        if value is not None and (type(value) is not int or (value < 0 and option != "limit")):
            raise OptionError(f"{name}: {option}={value!r} is no whole number of at least 0")


def _named_parameters(cls: type, operation: str) -> set[str]:
    """The keyword parameters that the method itself has, a subclass's own ones included."""
    owned = (base.__dict__[operation] for base in cls.__mro__ if operation in base.__dict__)
    method = next(each for raw in owned if callable(each := getattr(raw, "__func__", raw)))
    parameters = inspect.signature(method).parameters.values()
    return {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}


def sort_document(sort: Sort) -> dict[str, Any]:
    """Any of pymongo's forms of a sort as the server's: field to direction, in order.

    :raises OptionError: it is none of them.
    """
    if isinstance(sort, str):
        return {sort: 1}
    if isinstance(sort, Mapping):
        return dict(sort)
    try:
        pairs = [(each, 1) if isinstance(each, str) else each for each in sort]
        return {field: direction for field, direction in pairs}  # noqa: C416 - checks the pairs
    except (TypeError, ValueError) as error:
        raise OptionError(
            f'sort={sort!r}: write "name", [("name", 1), ("age", -1)] or {{"name": 1}}'
        ) from error

"""Lifecycle hooks: plain functions or coroutines; overrides call ``super()``."""

# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# What stands in documents and queries is of any type; this module tells the types apart.

import inspect
from collections.abc import Generator
from copy import copy
from typing import Any

from mongospec_core.codec.plan import Upgrade
from mongospec_core.codec.raw_values import ENDLESS
from mongospec_core.errors import EncodingError, HookError, shown

NAMES = ("__pre_save__", "__pre_update__", "__pre_find__", "__upgrade__")


class NoResult:
    """Returned by the default of a hook without a result: it may be awaited or ignored."""

    __slots__ = ()

    def __await__(self) -> Generator[Any]:
        yield from ()  # a generator that never waits


class AwaitableDict(dict[str, Any]):
    """Returned by the default of a hook with a result: a dict that may be awaited."""

    def __await__(self) -> Generator[Any, None, dict[str, Any]]:
        yield from ()  # a generator that never waits
        return self


DONE = NoResult()


async def run_pre_save(document: Any) -> None:
    """Run the document's own ``__pre_save__``."""
    result = document.__pre_save__()
    if inspect.isawaitable(result):
        await result


async def run_dict_hook(cls: type, name: str, value: dict[str, Any]) -> dict[str, Any]:
    """Run a hook that takes a dict and returns one; it gets a copy that it may change.

    :raises HookError: it returned something else.
    """
    result: Any = getattr(cls, name)(deep_copy(value))
    if inspect.isawaitable(result) and not isinstance(result, dict):
        result = await result
    if not isinstance(result, dict):
        raise HookError(
            f"{cls.__name__}.{name} returned {type(result).__name__}, not the dict to go on with; "
            f"end it with a return statement"
        )
    return result


class UpgradeFailedError(Exception):
    """An ``__upgrade__`` raised, or returned no document: it cannot be read."""


def run_upgrade(cls: type, upgrade: Upgrade, raw: dict[str, Any]) -> dict[str, Any]:
    """Run the class's ``__upgrade__`` on one raw document.

    :raises UpgradeFailedError: it raised, or returned something else than a dict.
    :raises HookError: it is an async function.
    """
    try:
        result: Any = upgrade(raw)
    except (UpgradeFailedError, HookError):  # of a class of the family
        raise
    except Exception as error:
        raise UpgradeFailedError(f"__upgrade__ raised {shown(error)}") from error
    if inspect.iscoroutine(result):
        result.close()
        raise HookError(f"{cls.__name__}.__upgrade__ is async; make it a plain function")
    if not isinstance(result, dict):
        raise UpgradeFailedError(
            f"__upgrade__ returned {type(result).__name__}, not the document to go on with; end it "
            f"with a return statement"
        )
    return result


def deep_copy(value: Any) -> Any:
    """Copy the dicts and lists of a filter or an update; other values are shared."""
    try:
        if isinstance(value, dict):
            return {key: deep_copy(each) for key, each in value.items()}
        if isinstance(value, list):
            return [deep_copy(each) for each in value]
    except RecursionError as error:
        raise EncodingError(ENDLESS) from error
    return copy(value) if isinstance(value, set) else value


def overridden(cls: type, base: type) -> frozenset[str]:
    """Return the hooks that *cls* overrides: the defaults of *base* are never called."""
    return frozenset(
        name
        for name in NAMES
        if not same_function(getattr(cls, name, None), getattr(base, name, None))
    )


def same_function(one: Any, other: Any) -> bool:
    """Return whether two classes have the same hook, which may be a classmethod."""
    return getattr(one, "__func__", one) is getattr(other, "__func__", other)

"""What was found out about classes, kept for as long as any is bound."""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

_forget: list[Callable[[], object]] = []


def class_cache[F: Callable[..., Any]](function: F) -> F:
    """Keep the results of a function of classes, as :func:`functools.cache` does."""
    kept = cache(function)
    forget_by(kept.cache_clear)
    return cast("F", kept)


def forget_by(clear: Callable[[], object]) -> None:
    """Let :func:`forget_classes` call *clear*, which empties a cache that has classes in it."""
    _forget.append(clear)


def forget_classes() -> None:
    """Empty these caches when nothing is bound, so that unused classes are freed."""
    for clear in _forget:
        clear()

"""From modules to the document classes in them."""

import re
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, Literal, overload

from mongospec_core import DefinitionError, MongoDocument, OptionError
from mongospec_core.extension import is_abstract
from mongospec_discovery.modules import OnError, Walk

type Target = str | ModuleType
type Targets = Target | Iterable[Target]
type ModuleFilter = str | re.Pattern[str] | Callable[[str], bool]


@overload
def collect_document_types(
    targets: Targets,
    *,
    include_base: bool = False,
    local_only: bool = True,
    ignore_abstract: bool = True,
    predicate: Callable[[type[MongoDocument]], bool] | None = None,
    module_filter: ModuleFilter | None = None,
    on_error: OnError = "warn",
    recursive: bool = True,
    unique: bool = True,
    return_map: Literal[False] = False,
) -> list[type[MongoDocument]]: ...
@overload
def collect_document_types(
    targets: Targets,
    *,
    include_base: bool = False,
    local_only: bool = True,
    ignore_abstract: bool = True,
    predicate: Callable[[type[MongoDocument]], bool] | None = None,
    module_filter: ModuleFilter | None = None,
    on_error: OnError = "warn",
    recursive: bool = True,
    unique: bool = True,
    return_map: Literal[True],
) -> dict[str, type[MongoDocument]]: ...
@overload
def collect_document_types[B](
    targets: Targets,
    *,
    base: type[B],
    include_base: bool = False,
    local_only: bool = True,
    ignore_abstract: bool = True,
    predicate: Callable[[type[B]], bool] | None = None,
    module_filter: ModuleFilter | None = None,
    on_error: OnError = "warn",
    recursive: bool = True,
    unique: bool = True,
    return_map: Literal[False] = False,
) -> list[type[B]]: ...
@overload
def collect_document_types[B](
    targets: Targets,
    *,
    base: type[B],
    include_base: bool = False,
    local_only: bool = True,
    ignore_abstract: bool = True,
    predicate: Callable[[type[B]], bool] | None = None,
    module_filter: ModuleFilter | None = None,
    on_error: OnError = "warn",
    recursive: bool = True,
    unique: bool = True,
    return_map: Literal[True],
) -> dict[str, type[B]]: ...
def collect_document_types(
    targets: Targets,
    *,
    base: type[Any] = MongoDocument,
    include_base: bool = False,
    local_only: bool = True,
    ignore_abstract: bool = True,
    predicate: Callable[[type[Any]], bool] | None = None,
    module_filter: ModuleFilter | None = None,
    on_error: OnError = "warn",
    recursive: bool = True,
    unique: bool = True,
    return_map: bool = False,
) -> Any:
    """The document classes of packages and modules, for ``init(document_types=...)``.

    Imports the targets and, below packages, every module but ``__main__``; nothing is sent to a
    server. The order is the same in every run: targets as given, a package before its modules,
    modules by name, classes as their module defines them. Looks at module-level names, so a class
    inside of a function or of another class is not found.

    :param targets: the dotted name of a package or a module, the module itself, or several.
    :param base: collect subclasses of this class only.
    :param include_base: collect *base* itself too, where it is found.
    :param local_only: leave out classes that a module merely imports.
    :param ignore_abstract: leave out classes declared ``abstract=True`` or ``mixin=True`` and those
        with abstract methods; ``init()`` would refuse them.
    :param predicate: called with each class; collect those for which it is true.
    :param module_filter: a regular expression that has to be found in a module's full name, or a
        function of it. What it leaves out is not imported on its own account, but a package it
        leaves out is still walked; the targets are imported in any case.
    :param on_error: what becomes of a module that cannot be imported, by a syntax error or any
        other: ``"warn"`` (a ``UserWarning``), ``"ignore"``, ``"raise"`` the error itself, or a
        function that is given the module's name and the error. What is not an ``Exception``
        (``KeyboardInterrupt``, ``SystemExit``) is never kept from you.
    :param recursive: walk the modules below packages.
    :param unique: list a class once, however often it is found.
    :param return_map: give a dict by qualified name, ``{"myapp.models.User": User}``.
    :raises OptionError: *targets*, *base*, *module_filter* or *on_error* is of no use.
    :raises DefinitionError: *return_map*, and two classes have the same qualified name.

    .. code-block:: python

        await init(db, document_types=collect_document_types("myapp.models"))
    """
    if not isinstance(base, type):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError(f"base={base!r} is not a class")
    if not (on_error in ("ignore", "warn", "raise") or callable(on_error)):
        raise OptionError(f'on_error={on_error!r}: say "ignore", "warn", "raise" or a function')
    walk = Walk(recursive=recursive, wanted=_wanted(module_filter), on_error=on_error)
    found = [
        cls
        for target in _listed(targets)
        for module in walk.modules(target)
        for cls in _classes_of(module, base, local_only=local_only)
        if (include_base or cls is not base)
        and not (ignore_abstract and is_abstract(cls))
        and (predicate is None or predicate(cls))
    ]
    if return_map:
        return _by_name(found)
    return list(dict.fromkeys(found)) if unique else found


def _listed(targets: Any) -> list[Target]:
    try:
        listed = [targets] if isinstance(targets, str | ModuleType) else list(targets)
    except TypeError:
        listed = [targets]
    if all(isinstance(each, str | ModuleType) for each in listed):
        return listed
    raise OptionError(
        f"targets={targets!r}: name a package or a module, give the module, or several of them"
    )


def _wanted(module_filter: ModuleFilter | None) -> Callable[[str], bool]:
    if module_filter is None:
        return lambda name: True
    if isinstance(module_filter, str | re.Pattern):
        try:
            pattern = re.compile(module_filter)
        except re.error as error:
            raise OptionError(
                f"module_filter={module_filter!r} is no regular expression: {error}"
            ) from error
        return lambda name: pattern.search(name) is not None
    if not callable(module_filter):
        raise OptionError(f"module_filter={module_filter!r}: give a pattern or a function")
    return module_filter


def _classes_of(module: ModuleType, base: type, *, local_only: bool) -> Iterator[type]:
    for value in list(vars(module).values()):
        # By type(): a lazy proxy in the module need not come to life because we look at it.
        if not issubclass(type(value), type) or not issubclass(value, base):
            continue
        generated = "[" in value.__name__  # made by a package of ours, not by the application
        if not generated and (not local_only or value.__module__ == module.__name__):
            yield value


def _by_name(classes: Iterable[type]) -> dict[str, type]:
    found: dict[str, type] = {}
    for cls in classes:
        name = f"{cls.__module__}.{cls.__qualname__}"
        if found.setdefault(name, cls) is not cls:
            raise DefinitionError(
                f"two document classes have the qualified name {name}: a map can hold only one of "
                f"them; give them names of their own, or collect a list"
            )
    return found

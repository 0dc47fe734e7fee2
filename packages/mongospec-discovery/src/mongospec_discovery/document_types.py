"""The document classes of modules: collected, filtered, listed or mapped by name."""

import re
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, Literal, overload

from mongospec_core import DefinitionError, MongoDocument, OptionError
from mongospec_core.extension import is_abstract, shown
from mongospec_discovery.modules import ModuleFinder, OnError

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
    """Collect the document classes of packages and modules, for ``init(document_types=...)``.

    Import the targets and, below packages, every module except ``__main__``; send nothing to a
    server. The order is the same in every run: targets as given, a package before its modules,
    modules by name, classes as their module defines them. Classes that refer to each other may
    come in any order. Only module-level names are searched: a class inside a function or another
    class is not found.

    :param targets: the dotted name of a package or module, the module itself, or several of them.
    :param base: collect only subclasses of this class.
    :param include_base: also collect *base* itself if it is found.
    :param local_only: leave out classes that a module only imports.
    :param ignore_abstract: leave out classes declared ``abstract=True`` or ``mixin=True`` and those
        with abstract methods; ``init()`` would refuse them.
    :param predicate: called with each class; collect the class if the result is true.
    :param module_filter: a regular expression searched for in the full name of each module, or a
        function of that name. A module that does not match is not imported, unless another module
        imports it or it is a target; the modules below a package that does not match are still
        searched.
    :param on_error: what to do if a module cannot be imported, because of a syntax error or any
        other ``Exception``: ``"warn"`` (a ``RuntimeWarning``), ``"ignore"``, ``"raise"`` the error
        itself, or call a function with the module's name and the error. ``KeyboardInterrupt`` and
        ``SystemExit`` always propagate.
    :param recursive: search the modules below packages.
    :param unique: list a class once, however often it is found.
    :param return_map: return a dict by qualified name, ``{"myapp.models.User": User}``.
    :returns: a list of classes, or the dict if *return_map* is set.
    :raises OptionError: *targets*, *base*, *module_filter* or *on_error* is not valid.
    :raises DefinitionError: *return_map* is set and two classes have the same qualified name.

    .. code-block:: python

        await init(db, document_types=collect_document_types("myapp.models"))
    """
    if not isinstance(base, type):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise OptionError(f"base={shown(base)} is not a class")
    if not (on_error in ("ignore", "warn", "raise") or callable(on_error)):
        raise OptionError(
            f'on_error={shown(on_error)} is not "ignore", "warn", "raise" or a function'
        )
    finder = ModuleFinder(
        recursive=recursive, matches=_name_matcher(module_filter), on_error=on_error
    )
    found = [
        cls
        for target in _target_list(targets)
        for module in finder.modules(target)
        for cls in _classes_in(module, base, local_only=local_only)
        if (include_base or cls is not base)
        and not (ignore_abstract and is_abstract(cls))
        and (predicate is None or predicate(cls))
    ]
    if return_map:
        return _by_name(found)
    return list(dict.fromkeys(found)) if unique else found


def _target_list(targets: Any) -> list[Target]:
    try:
        listed = [targets] if isinstance(targets, str | ModuleType) else list(targets)
    except TypeError:
        listed = [targets]
    if all(isinstance(each, str | ModuleType) for each in listed):
        return listed
    raise OptionError(
        f"targets={shown(targets)} is not a module, the name of a package or module, or several of them"
    )


def _name_matcher(module_filter: ModuleFilter | None) -> Callable[[str], bool]:
    if module_filter is None:
        return lambda name: True
    if isinstance(module_filter, str | re.Pattern):
        try:
            pattern = re.compile(module_filter)
        except (re.error, TypeError) as error:
            raise OptionError(
                f"module_filter={shown(module_filter)} is not a regular expression: {error}"
            ) from error
        return lambda name: pattern.search(name) is not None
    if not callable(module_filter):
        raise OptionError(
            f"module_filter={shown(module_filter)} is not a regular expression or a function"
        )
    return module_filter


def _classes_in(module: ModuleType, base: type, *, local_only: bool) -> Iterator[type]:
    for value in list(vars(module).values()):
        # type() rather than isinstance(): that would evaluate lazy proxies such as Flask's request.
        if not issubclass(type(value), type) or not issubclass(value, base):
            continue
        generated = "[" in value.__name__  # by mongospec-refs: User[unresolved]
        if not generated and (not local_only or value.__module__ == module.__name__):
            yield value


def _by_name(classes: Iterable[type]) -> dict[str, type]:
    found: dict[str, type] = {}
    for cls in classes:
        name = f"{cls.__module__}.{cls.__qualname__}"
        if found.setdefault(name, cls) is not cls:
            raise DefinitionError(
                f"two document classes have the qualified name {name}, and return_map can hold "
                f"only one of them: rename one, or collect a list"
            )
    return found

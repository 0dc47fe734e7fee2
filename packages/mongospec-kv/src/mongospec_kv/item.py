"""Typed items: a key of a store with the type of its value."""

from collections.abc import Callable, Coroutine
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Unpack, cast, overload

import msgspec

from mongospec_core import DocumentValidationError, InvalidDocument, OptionError
from mongospec_core.extension import (
    Options,
    begin,
    encode,
    is_abstract,
    plan_of,
    shown,
    to_raw_documents,
)
from mongospec_kv.entries import check_key, entry_reader, entry_type
from mongospec_kv.errors import KeyNotFoundError
from mongospec_kv.store import KVStore

if TYPE_CHECKING:
    from typing_extensions import TypeForm


class KVStoreItem[T, D = None]:
    """A key of a store whose value has a type, checked when it is read and known to type checkers.

    Created by :meth:`of`; ``D`` is the type that ``get()`` returns if the store does not have the
    key: the default's type, or None.

    .. code-block:: python

        AppStorageItem = KVStoreItem.of(AppStorage)
        max_retries = AppStorageItem[int]("max_retries", default=3)
        await max_retries.get()  # 3
    """

    def __init__(self, store: type[KVStore], type: Any, key: str, default: Any) -> None:
        self._store = store
        self._type = type
        self._key = key
        self._default = default

    @staticmethod
    def of(store: type[KVStore]) -> "KVStoreItems":
        """Return the items of a store: ``of(AppStorage)[int]("max_retries", default=3)``.

        If a type checker does not accept a type in brackets (``int | None`` for pyright), write
        ``of(AppStorage).typed(int | None)("max_retries")``.

        :param store: the store; it need not be bound yet.
        :raises OptionError: it is not a key-value store, or :class:`KVStore` itself.

        .. code-block:: python

            AppStorageItem = KVStoreItem.of(AppStorage)
        """
        given: Any = store  # without a type checker it may be anything
        if not isinstance(given, type) or not issubclass(given, KVStore) or is_abstract(given):
            raise OptionError(
                f"{shown(given)} is not a store: class AppStorage(KVStore, Document): ..."  # pyright: ignore[reportUnknownArgumentType]
            )
        return KVStoreItems(store)

    async def get(self, **options: Unpack[Options]) -> T | D:
        """Return the value; the default, which is not stored, if the store does not have the key.

        :raises StoredValueError: the stored value is not of the item's type.

        .. code-block:: python

            retries = await max_retries.get()
        """
        try:
            value = await _method(self._store, "get")(self._key, **options)
        except KeyNotFoundError:
            default = None if self._default is msgspec.UNSET else self._default
            return cast("D", deepcopy(default))  # the caller may change the result
        return await self._read(value, options)

    async def set(self, value: T, **options: Unpack[Options]) -> None:
        """Store a value.

        :raises DocumentValidationError: it is not of the item's type; nothing was sent.

        .. code-block:: python

            await max_retries.set(10)
        """
        self._check(value)
        await _method(self._store, "set")(self._key, value, **options)

    async def set_default(self, **options: Unpack[Options]) -> T:
        """Store the default unless the key exists, and return the stored value. Atomic.

        :raises OptionError: the item has no default.
        :raises StoredValueError: the stored value is not of the item's type.

        .. code-block:: python

            retries = await max_retries.set_default()
        """
        if self._default is msgspec.UNSET:
            raise OptionError(f"{self!r} has no default; create the item with default=...")
        self._check(self._default)
        value = await _method(self._store, "set_default")(self._key, self._default, **options)
        return await self._read(value, options)

    async def has(self, **options: Unpack[Options]) -> bool:
        """Return whether the store has the key.

        .. code-block:: python

            await max_retries.has()
        """
        return cast("bool", await _method(self._store, "has")(self._key, **options))

    async def delete(self, **options: Unpack[Options]) -> bool:
        """Delete the key; return whether it existed.

        .. code-block:: python

            await max_retries.delete()
        """
        return cast("bool", await _method(self._store, "delete_key")(self._key, **options))

    def __repr__(self) -> str:
        default = "" if self._default is msgspec.UNSET else f", default={self._default!r}"
        return (
            f"KVStoreItem[{_name(self._type)}]({self._store.__name__}, {shown(self._key)}{default})"
        )

    async def _read(self, value: Any, options: Options) -> T:
        """Return the value as the item's type, decoded as every read does."""
        entry = encode({"key": self._key, "value": value})
        binding, call = begin(self._store, "get", "find_one", options, "read")
        (found,) = await entry_reader(self._store, binding, self._type).load([entry], call)
        return cast("T", found.value)

    def _check(self, value: Any) -> None:
        entry = entry_type(self._store, self._type)
        try:
            to_raw_documents(plan_of(entry), [entry(key=self._key, value=value)], validate=True)
        except DocumentValidationError as error:
            reason = f"{error.reason}, for the key {shown(self._key)}"
            failure = InvalidDocument(None, error.path, reason)
            raise DocumentValidationError(self._store, [failure], error.advice) from error


class KVStoreItems:
    """The items of one store, without type and key yet; see :meth:`KVStoreItem.of`."""

    def __init__(self, store: type[KVStore]) -> None:
        self._store = store

    @overload
    def __getitem__[T](self, type: type[T]) -> "TypedItems[T]": ...
    @overload
    def __getitem__(self, type: Any) -> "TypedItems[Any]": ...
    def __getitem__(self, type: Any) -> "TypedItems[Any]":
        return TypedItems(self._store, type)

    def typed[T](self, type: "TypeForm[T]") -> "TypedItems[T]":
        """Return the items of a type, for types that a checker does not accept in brackets."""
        return TypedItems(self._store, type)


class TypedItems[T]:
    """The items of one store with values of one type, without a key yet."""

    def __init__(self, store: type[KVStore], type: Any) -> None:
        self._store = store
        self._type = type

    @overload
    def __call__(self, key: str) -> KVStoreItem[T]: ...
    @overload
    def __call__(self, key: str, default: T) -> KVStoreItem[T, T]: ...
    @overload
    def __call__(self, key: str, default: None) -> KVStoreItem[T]: ...
    def __call__(self, key: str, default: Any = msgspec.UNSET) -> KVStoreItem[Any, Any]:
        """Return the item of a key.

        :raises OptionError: the key is not a str.
        """
        check_key(self._store, key)
        return KVStoreItem(self._store, self._type, key, default)


def _method(store: type, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return a method of the store or an override of it, even if a field hides it."""
    for base in store.__mro__:
        if isinstance(base.__dict__.get(name), classmethod):
            method: Any = base.__dict__[name]
            return cast("Callable[..., Coroutine[Any, Any, Any]]", method.__get__(None, store))
    raise AttributeError(name)


def _name(tp: Any) -> str:
    return tp.__name__ if isinstance(tp, type) else str(tp)

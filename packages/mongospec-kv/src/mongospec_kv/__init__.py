"""A key-value store on a mongospec collection, with typed items."""

from mongospec_kv.errors import KeyNotFoundError, StoredValueError
from mongospec_kv.item import KVStoreItem
from mongospec_kv.store import KVStore

__all__ = ("KVStore", "KVStoreItem", "KeyNotFoundError", "StoredValueError")

"""The key-value store of mongospec-kv."""

from mongospec_kv import KeyNotFoundError, KVStore, KVStoreItem, StoredValueError

__all__ = ("KVStore", "KVStoreItem", "KeyNotFoundError", "StoredValueError")

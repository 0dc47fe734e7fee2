"""``mongospec`` offers the names of the packages that it brings: all of them, and the same objects."""

import importlib

import mongojet
import pytest

import mongospec
import mongospec_core
import mongospec_discovery
import mongospec_kv
import mongospec_refs
from mongospec.contrib import kv_store
from mongospec.utils import collect_document_types

PARTS = [mongospec_core, mongospec_discovery, mongospec_kv, mongospec_refs]
# If two packages have a name, the one that mongospec exports.
MEANT = {"MongoDocument": mongospec_refs, "DuplicateKeyError": mongospec_core}


@pytest.mark.parametrize("part", [*PARTS, mongojet], ids=lambda part: part.__name__)
def test_every_public_name_of_a_part_is_offered(part: object) -> None:
    module = importlib.import_module(part.__name__)  # type: ignore[attr-defined]
    different = [
        name
        for name in module.__all__
        if getattr(mongospec, name, None) is not getattr(MEANT.get(name, module), name)
    ]
    assert different == []
    assert set(module.__all__) <= set(mongospec.__all__)


def test_nothing_else_is_offered() -> None:
    offered = {name for part in [*PARTS, mongojet] for name in part.__all__}
    assert set(mongospec.__all__) == offered


def test_names_that_two_packages_have_are_related() -> None:
    parts = [*PARTS, mongojet]
    twice = {name for name in mongospec.__all__ if sum(name in part.__all__ for part in parts) > 1}
    assert twice == set(MEANT)
    assert issubclass(mongospec.MongoDocument, mongospec_core.MongoDocument)
    assert issubclass(mongospec.DuplicateKeyError, mongojet.DuplicateKeyError)


def test_the_documented_paths_lead_to_the_same_objects() -> None:
    assert collect_document_types is mongospec.collect_document_types
    assert kv_store.KVStore is mongospec.KVStore
    assert kv_store.KVStoreItem is mongospec.KVStoreItem
    assert set(kv_store.__all__) == set(mongospec_kv.__all__)


def test_every_error_of_ours_has_one_root() -> None:
    ours = [
        value
        for name in mongospec.__all__
        if isinstance(value := getattr(mongospec, name), type)
        and issubclass(value, Exception)
        and value.__module__.startswith("mongospec")
    ]
    assert len(ours) > 20
    assert [error for error in ours if not issubclass(error, mongospec.MongospecError)] == []

"""Which classes of a module are collected."""

from typing import Any

import mongojet
import pytest

import mongospec_core
from mongospec_core import DefinitionError, MongoDocument
from mongospec_discovery import collect_document_types

from .conftest import WritePackage

MODELS = """
    from abc import abstractmethod
    from mongospec_core import MongoDocument

    class Base(MongoDocument, abstract=True): ...
    class Fields(MongoDocument, mixin=True):
        views: int = 0
    class Shape(Base):
        @abstractmethod
        def area(self) -> float: ...
    class Square(Shape):
        def area(self) -> float: return 1.0
    class User(Base):
        class Inner(MongoDocument): ...
    Member = User
    number = 1

    def make():
        class Local(MongoDocument): ...
        return Local
"""


def names(classes: list[Any]) -> list[str]:
    return [cls.__name__ for cls in classes]


@pytest.fixture
def package(write_package: WritePackage) -> str:
    return write_package(
        {
            "__init__.py": "from .models import User",
            "models.py": MODELS,
            "other.py": """
                from .models import Base, User
                class Post(Base): ...
            """,
        }
    )


def test_abstract_classes_and_mixins_are_left_out(package: str) -> None:
    assert names(collect_document_types(f"{package}.models")) == ["Square", "User"]


def test_abstract_classes_are_collected_on_request(package: str) -> None:
    found = collect_document_types(f"{package}.models", ignore_abstract=False)
    assert names(found) == ["Base", "Fields", "Shape", "Square", "User"]


def test_a_subclass_of_an_abstract_class_is_not_abstract_by_inheritance(package: str) -> None:
    assert "User" in names(collect_document_types(package))


def test_imported_classes_are_left_out(package: str) -> None:
    assert names(collect_document_types(f"{package}.other")) == ["Post"]


def test_imported_classes_are_collected_on_request(package: str) -> None:
    assert names(collect_document_types(f"{package}.other", local_only=False)) == ["User", "Post"]


def test_a_class_is_listed_once(package: str) -> None:
    found = collect_document_types([package, f"{package}.models"], local_only=False)
    assert names(found) == ["User", "Square", "Post"]


def test_a_class_is_listed_as_often_as_it_is_found_on_request(package: str) -> None:
    found = collect_document_types(f"{package}.models", unique=False)
    assert names(found) == ["Square", "User", "User"]


def test_base_narrows_the_search(package: str) -> None:
    shape: Any = collect_document_types(f"{package}.models", ignore_abstract=False)[2]
    assert names(collect_document_types(package, base=shape)) == ["Square"]


def test_the_base_itself_is_collected_on_request(package: str) -> None:
    user = collect_document_types(f"{package}.models")[1]
    assert collect_document_types(package, base=user) == []
    assert collect_document_types(package, base=user, include_base=True) == [user]


def test_an_abstract_base_needs_both_words(package: str) -> None:
    given = {"local_only": False, "include_base": True}
    target = f"{package}.models"
    assert MongoDocument not in collect_document_types(target, **given)
    assert MongoDocument in collect_document_types(target, ignore_abstract=False, **given)


def test_predicate_has_the_last_word(package: str) -> None:
    asked: list[type[MongoDocument]] = []

    def wanted(cls: type[MongoDocument]) -> bool:
        asked.append(cls)
        return cls.__name__ != "User"

    assert names(collect_document_types(package, predicate=wanted)) == ["Square", "Post"]
    assert set(names(asked)) == {"Square", "User", "Post"}


def test_return_map_gives_classes_by_qualified_name(package: str) -> None:
    found = collect_document_types(package, return_map=True)
    assert list(found) == [
        f"{package}.models.Square",
        f"{package}.models.User",
        f"{package}.other.Post",
    ]
    assert list(found.values()) == collect_document_types(package)


def test_a_map_that_would_lose_a_class_is_refused(write_package: WritePackage) -> None:
    text = """
        from mongospec_core import MongoDocument
        class User(MongoDocument): ...
        OldUser = User
        class User(MongoDocument): ...
    """
    package = write_package({"__init__.py": text})
    assert len(collect_document_types(package)) == 2
    with pytest.raises(DefinitionError, match=rf"{package}\.User"):
        collect_document_types(package, return_map=True)


def test_generated_classes_never_appear(write_package: WritePackage) -> None:
    text = """
        from mongospec_core import MongoDocument
        class User(MongoDocument): ...
        hollow = type(MongoDocument)("User[unresolved]", (User,), {"__module__": __name__})
    """
    package = write_package({"__init__.py": text})
    found = collect_document_types(package, ignore_abstract=False, local_only=False)
    assert "User[unresolved]" not in names(found)


def test_values_that_pretend_to_be_something_else_are_left_alone(
    write_package: WritePackage,
) -> None:
    text = """
        from mongospec_core import MongoDocument
        class Lazy:
            @property
            def __class__(self): raise RuntimeError("used outside of a request")
        request = Lazy()
        class User(MongoDocument): ...
    """
    package = write_package({"__init__.py": text})
    assert names(collect_document_types(package, on_error="raise")) == ["User"]


async def test_what_was_collected_can_be_bound(package: str, mongo_db: mongojet.Database) -> None:
    found = collect_document_types(package)
    await mongospec_core.init(mongo_db, document_types=found, close_client=False)
    try:
        for cls in found:
            await cls().insert()
        assert [await cls.count() for cls in found] == [1, 1, 1]
    finally:
        await mongospec_core.close()

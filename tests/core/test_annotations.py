"""Annotations of document classes: quoted, postponed or (from Python 3.14 on) lazy, in one module or in several."""

import importlib
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Annotated, Any, ClassVar

import mongojet
import msgspec
import pytest

from mongospec_core import DefinitionError, MongoDocument, OptionError, init
from tests.conftest import Bind

LAZY = sys.version_info >= (3, 14)
FUTURE = "from __future__ import annotations\n"

type Write = Callable[..., ModuleType]


@pytest.fixture(params=["postponed", "as they stand"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Write]:
    """Write modules of a package and import the last; ``'Name'`` is a name that is not known yet.

    Postponed: by the future import, unquoted. As they stand: unquoted from Python 3.14 on, quoted
    before.
    """
    package = f"annotated_{uuid.uuid4().hex[:8]}"
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").touch()
    sys.path.insert(0, str(tmp_path))

    def written(**modules: str) -> ModuleType:
        for name, text in modules.items():
            code = dedent(text)
            if request.param == "postponed":
                code = FUTURE + code.replace("'", "")
            elif LAZY:
                code = code.replace("'", "")
            (folder / f"{name}.py").write_text(code)
        return importlib.import_module(f"{package}.{list(modules)[-1]}")

    try:
        yield written
    finally:
        sys.path.remove(str(tmp_path))
        for name in [name for name in sys.modules if name.startswith(package)]:
            del sys.modules[name]


async def kept(bind: Bind, cls: Any, **fields: Any) -> Any:
    """The document as it is read back."""
    await bind(cls)
    document = await cls(**fields).insert()
    return await cls.find_by_id(document.id)


async def test_a_class_may_name_what_is_defined_later(bind: Bind, write: Write) -> None:
    module = write(
        parts="""
        import msgspec
        from mongospec_core import MongoDocument

        class Tree(MongoDocument):
            root: 'Node'
            leaves: list['Node'] = []

        class Node(msgspec.Struct):
            name: str
            children: list['Node'] = []
        """
    )
    leaf = module.Node(name="leaf")
    read = await kept(
        bind, module.Tree, root=module.Node(name="root", children=[leaf]), leaves=[leaf]
    )
    assert read.root.children == read.leaves == [leaf]


async def test_a_mixins_annotations_are_read_where_it_was_written(bind: Bind, write: Write) -> None:
    module = write(
        mixins="""
        from uuid import UUID as Same
        from datetime import datetime as Moment
        from mongospec_core import MongoDocument

        class Marked(MongoDocument, mixin=True):
            mark: Same
            at: Moment | None = None
            later: 'Later | None' = None

        class Later(__import__("msgspec").Struct):
            n: int
        """,
        users="""
        from mongospec_core import MongoDocument
        from .mixins import Marked

        Same = int

        class Base(MongoDocument):
            name: str

        class User(Marked, Base):
            own: Same = 1
        """,
    )
    mark = uuid.uuid4()
    read = await kept(bind, module.User, name="a", mark=mark)
    assert (read.mark, read.own, read.at, read.later) == (mark, 1, None, None)


async def test_the_id_of_a_base_in_another_module_keeps_its_type(bind: Bind, write: Write) -> None:
    module = write(
        bases="""
        from uuid import UUID as Key, uuid4
        import msgspec
        from mongospec_core import MongoDocument

        class Keyed(MongoDocument, abstract=True):
            _id: Key = msgspec.field(default_factory=uuid4)

        class Named(MongoDocument, mixin=True):
            name: str = "a"
        """,
        users="""
        from .bases import Keyed, Named

        class User(Named, Keyed):
            age: int = 0
        """,
    )
    read = await kept(bind, module.User)
    assert isinstance(read.id, uuid.UUID)
    assert read.name == "a"


async def test_nested_structs_and_generics_may_name_what_comes_later(
    bind: Bind, write: Write
) -> None:
    module = write(
        parts="""
        from typing import TypeVar, Generic
        import msgspec
        from mongospec_core import MongoDocument

        T = TypeVar("T")

        class Box(msgspec.Struct, Generic[T]):
            item: T
            tag: 'Tag | None' = None

        class Crate(MongoDocument):
            box: 'Box[Tag]'
            more: dict[str, 'Box[int]'] = {}

        class Tag(msgspec.Struct):
            label: str
        """
    )
    tag = module.Tag(label="t")
    read = await kept(
        bind, module.Crate, box=module.Box(item=tag, tag=tag), more={"a": module.Box(item=1)}
    )
    assert read.box.item == read.box.tag == tag
    assert read.more["a"].item == 1


async def test_a_field_may_be_named_like_its_type(bind: Bind, write: Write) -> None:
    module = write(
        days="""
        from datetime import date
        from mongospec_core import MongoDocument

        class Day(MongoDocument):
            date: date
        """
    )
    assert (await kept(bind, module.Day, date=date(2026, 1, 2))).date == date(2026, 1, 2)


async def test_a_class_variable_may_name_what_nobody_knows(bind: Bind) -> None:
    class Known(MongoDocument):
        marks: ClassVar["Unknown"] = 5  # type: ignore[name-defined]  # noqa: F821
        other: "Inner | None" = None

    class Inner(msgspec.Struct):
        n: int = 0

    globals()["Inner"] = Inner  # as a module has it by the time of init
    try:
        assert (await kept(bind, Known)).other is None
    finally:
        del globals()["Inner"]


async def test_an_unknown_name_is_told_with_its_class_and_field(bind: Bind, write: Write) -> None:
    module = write(
        wrong="""
        from mongospec_core import MongoDocument

        class Wrong(MongoDocument):
            author: 'int | Nowhere' = 0
        """
    )
    with pytest.raises(DefinitionError, match=r"Wrong\.author: .*'Nowhere'.*no such name") as told:
        await bind(module.Wrong)
    assert "__annotationlib" not in str(told.value)


async def test_a_dunder_is_no_field_however_it_is_annotated(write: Write) -> None:
    with pytest.raises(DefinitionError, match=r"Wrong\.__collection_name__ is annotated like"):
        write(
            wrong="""
            from mongospec_core import MongoDocument

            class Wrong(MongoDocument):
                __collection_name__: str = "wrong"
            """
        )


async def test_a_name_in_place_of_classes_points_to_discovery(
    mongo_db: mongojet.Database,
) -> None:
    models: Any = "shop.models"
    with pytest.raises(OptionError, match=r"collect_document_types\('shop\.models'\)"):
        await init(mongo_db, models)


def test_a_field_that_is_stored_as_the_id_says_to_annotate_the_id() -> None:
    with pytest.raises(DefinitionError, match=r"User: .*; annotate _id in place of uid"):

        class User(MongoDocument):
            uid: int = msgspec.field(name="_id")


async def test_a_bound_that_msgspec_does_not_take_names_the_field_and_the_way_out(
    bind: Bind,
) -> None:
    class Priced(MongoDocument):
        name: str
        price: Annotated[Decimal, msgspec.Meta(ge=0)]

    with pytest.raises(DefinitionError, match=r"Priced\.price: .*__post_init__"):
        await bind(Priced)

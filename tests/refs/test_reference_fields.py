"""References in every shape: stored as plain ids, read back as documents."""

import dataclasses
import uuid
from collections.abc import Iterable, MutableSequence
from enum import Enum
from typing import Any, NamedTuple, NewType, TypedDict

import msgspec
import pytest
from bson import ObjectId

import mongospec_core
from mongospec_core import DefinitionError, DocumentValidationError, register_encoder
from mongospec_refs import MongoDocument, UnsavedReferenceError
from tests.conftest import Bind
from tests.core.raw import stored
from tests.zoo.blog import Badge, Byline, Company, Post, Tag, User


class Box[T](msgspec.Struct):
    item: T
    more: list[T] = []


class Branch(msgspec.Struct):
    user: User | None = None
    branches: list["Branch"] = []


@dataclasses.dataclass
class Card:
    user: User
    note: str = ""


class Pair(NamedTuple):
    first: User
    second: Tag


class Roles(TypedDict):
    writer: User
    note: str


Writer = NewType("Writer", User)
type Users = list[User]


class Everything(MongoDocument):
    plain: User
    optional: User | None
    absent: User | None
    listed: list[User]
    nested_list: list[list[User | None]]
    sequence: tuple[User, ...]
    fixed: tuple[User, int, Tag]
    named: Pair
    mapped: dict[str, User]
    mapped_lists: dict[str, list[User]]
    badges: set[Badge]
    frozen_badges: frozenset[Badge]
    struct: Byline
    structs: list[Byline]
    generic: Box[User]
    generic_list: Box[list[User]]
    generic_dict: Box[dict[str, User]]
    generic_struct: Box[Byline]
    recursive: Branch
    dataclass: Card
    typed_dict: Roles
    new_type: Writer
    alias: Users
    unset: User | msgspec.UnsetType = msgspec.UNSET
    renamed: User = msgspec.field(name="by")


async def test_every_shape_is_stored_as_ids_and_read_back_as_documents(bind: Bind) -> None:
    await bind(Company, User, Tag, Badge, Everything)
    user, other = await User(name="a").insert(), await User(name="b").insert()
    tag = await Tag(label="t").insert()
    badge = await Badge(name="gold").insert()
    document = await Everything(
        plain=user,
        optional=other,
        absent=None,
        listed=[user, other, user],
        nested_list=[[user, None], [], [other]],
        sequence=(user, other),
        fixed=(user, 3, tag),
        named=Pair(user, tag),
        mapped={"x": user, "y": other},
        mapped_lists={"x": [user, other]},
        badges={badge},
        frozen_badges=frozenset({badge}),
        struct=Byline(author=user),
        structs=[Byline(author=other, role="r")],
        generic=Box(user, [other]),
        generic_list=Box([user]),
        generic_dict=Box({"x": user}),
        generic_struct=Box(line := Byline(author=user), [line]),
        recursive=Branch(user, [Branch(other), Branch()]),
        dataclass=Card(user),
        typed_dict={"writer": user, "note": "n"},
        new_type=Writer(user),
        alias=[user],
        renamed=user,
    ).insert()
    u, o, t, b = user.id, other.id, tag.id, badge.id
    assert await stored(Everything) == [
        {
            "_id": document.id,
            "plain": u,
            "optional": o,
            "absent": None,
            "listed": [u, o, u],
            "nested_list": [[u, None], [], [o]],
            "sequence": [u, o],
            "fixed": [u, 3, t],
            "named": [u, t],
            "mapped": {"x": u, "y": o},
            "mapped_lists": {"x": [u, o]},
            "badges": [b],
            "frozen_badges": [b],
            "struct": {"author": u, "role": "author"},
            "structs": [{"author": o, "role": "r"}],
            "generic": {"item": u, "more": [o]},
            "generic_list": {"item": [u], "more": []},
            "generic_dict": {"item": {"x": u}, "more": []},
            "generic_struct": {
                "item": {"author": u, "role": "author"},
                "more": [{"author": u, "role": "author"}],
            },
            "recursive": {
                "user": u,
                "branches": [{"user": o, "branches": []}, {"user": None, "branches": []}],
            },
            "dataclass": {"user": u, "note": ""},
            "typed_dict": {"writer": u, "note": "n"},
            "new_type": u,
            "alias": [u],
            "by": u,
        }
    ]
    (read,) = await Everything.find_all()
    assert read == document
    one = read.plain
    assert one.name == "a" and read.optional is not None and read.optional.name == "b"
    holders = [
        read.listed[0],
        read.nested_list[0][0],
        read.sequence[0],
        read.fixed[0],
        read.named.first,
        read.mapped["x"],
        read.mapped_lists["x"][0],
        read.struct.author,
        read.generic.item,
        read.generic_list.item[0],
        read.generic_dict.item["x"],
        read.generic_struct.item.author,
        read.generic_struct.more[0].author,
        read.recursive.user,
        read.dataclass.user,
        read.typed_dict["writer"],
        read.new_type,
        read.alias[0],
        read.renamed,
    ]
    assert all(each is one for each in holders)
    assert read.fixed[2].label == "t" and read.recursive.branches[0].user is read.optional
    assert (
        {each.name for each in read.badges}
        == {"gold"}
        == {each.name for each in read.frozen_badges}
    )


class Color(Enum):
    RED = "red"


class ByText(MongoDocument):
    _id: str
    name: str = ""


class ByNumber(MongoDocument):
    _id: int
    name: str = ""


class ByUuid(MongoDocument):
    _id: uuid.UUID = msgspec.field(default_factory=uuid.uuid4)
    name: str = ""


class ByEnum(MongoDocument):
    _id: Color
    name: str = ""


class Key(msgspec.Struct, frozen=True):
    a: int
    b: str


class ByStruct(MongoDocument):
    _id: Key
    name: str = ""


class ByAnything(MongoDocument):
    _id: Any
    name: str = ""


class Ids(MongoDocument):
    text: ByText
    number: ByNumber
    uid: ByUuid
    enum: ByEnum
    struct: ByStruct
    things: list[ByAnything]


async def test_references_have_the_id_type_of_their_class(bind: Bind) -> None:
    await bind(ByText, ByNumber, ByUuid, ByEnum, ByStruct, ByAnything, Ids)
    things = [
        ByAnything(_id=each, name=repr(each))
        for each in (1, True, "x", 2.5, {"a": 1, "b": 2}, {"b": 2, "a": 1}, ObjectId())
    ]
    await ByAnything.insert_many(things)
    document = await Ids(
        text=await ByText(_id="k", name="text").insert(),
        number=await ByNumber(_id=2**40, name="number").insert(),
        uid=await ByUuid(name="uid").insert(),
        enum=await ByEnum(_id=Color.RED, name="enum").insert(),
        struct=await ByStruct(_id=Key(1, "b"), name="struct").insert(),
        things=things,
    ).insert()
    (raw,) = await stored(Ids)
    assert raw["enum"] == "red" and raw["struct"] == {"a": 1, "b": "b"}
    (read,) = await Ids.find_all()
    assert read == document
    assert [read.text.name, read.number.name, read.uid.name] == ["text", "number", "uid"]
    assert read.enum._id is Color.RED and read.struct._id == Key(1, "b")
    # True and 1 are two ids, and so are documents whose fields stand in another order.
    assert [each.name for each in read.things] == [each.name for each in things]
    assert len({id(each) for each in read.things}) == len(things)


async def test_unsaved_documents_are_found_in_every_shape(bind: Bind) -> None:
    class Shapes(MongoDocument):
        listed: list[list[User]] = []
        mapped: dict[str, Box[User]] = {}
        fixed: tuple[int, User] | None = None
        card: Card | None = None
        roles: Roles | None = None
        generic: Box[dict[str, list[User]]] | None = None
        more: Box[Byline] | None = None
        open: User | str = ""

    await bind(Company, User, Tag, Shapes)
    new = User(name="new")
    for field, value, path in [
        ("listed", [[], [new]], "listed[1][0]"),
        ("mapped", {"x": Box(new)}, "mapped.x.item"),
        ("fixed", (1, new), "fixed[1]"),
        ("card", Card(new), "card.user"),
        ("roles", {"writer": new, "note": ""}, "roles.writer"),
        ("generic", Box({"x": [new]}), "generic.item.x[0]"),
        ("more", Box(Byline(author=new)), "more.item.author"),
        ("open", new, "open"),
    ]:
        with pytest.raises(UnsavedReferenceError) as raised:
            await Shapes(**{field: value}).insert()
        assert raised.value.path == path and raised.value.reference is new
        await Shapes(**{field: value}).insert_recursive()
        await new.delete()
        new._id = None
    assert (await Shapes(open="text").insert()).open == "text"


class Knot(MongoDocument):
    parent: "Knot | None" = None
    tied: list["Knot"] = []


async def test_an_unsaved_document_is_refused_in_a_field_of_its_own_class(bind: Bind) -> None:
    await bind(Knot)
    new = Knot()
    with pytest.raises(UnsavedReferenceError, match=r"Knot\.parent"):
        await Knot(parent=new).insert()
    knot = await Knot().insert()
    knot.tied.append(new)
    with pytest.raises(UnsavedReferenceError, match=r"Knot\.tied\[0\]"):
        await knot.save()
    assert await stored(Knot) == [{"_id": knot._id, "parent": None, "tied": []}]


class Team[T](MutableSequence[T]):
    """A list of one's own, which only its class's dec_hook reads."""

    def __init__(self, items: Iterable[T] = ()) -> None:
        self.items = list(items)

    def __getitem__(self, place: Any) -> Any:
        return self.items[place]

    def __setitem__(self, place: Any, item: Any) -> None:
        self.items[place] = item

    def __delitem__(self, place: Any) -> None:
        del self.items[place]

    def __len__(self) -> int:
        return len(self.items)

    def insert(self, index: int, value: T) -> None:
        self.items.insert(index, value)


class Club(MongoDocument):
    team: Team[User]

    @classmethod
    def dec_hook(cls, tp: type, value: Any) -> Any:
        return Team(User.ref(each) for each in value)


async def test_references_in_a_collection_of_ones_own_are_validated(
    bind: Bind, registered_encoders: None
) -> None:
    register_encoder(Team, list)
    await bind(Company, User, Tag, Club)
    gone = await User(name="gone").insert()
    await gone.delete()
    tag: Any = await Tag(label="tag").insert()
    for wrong in (gone, User(name="new")):
        with pytest.raises(UnsavedReferenceError, match=r"Club\.team\[0\]"):
            await Club(team=Team([wrong])).insert()
    with pytest.raises(DocumentValidationError, match=r"Club\.team\[0\]"):
        await Club(team=Team([tag])).insert()
    assert await stored(Club) == []


async def test_a_union_of_two_document_classes_is_refused_at_init(bind: Bind) -> None:
    class Either(MongoDocument):
        both: User | Tag

    with pytest.raises(DefinitionError, match=r"Either\.both.*User and Tag"):
        await bind(Company, User, Tag, Either)


async def test_a_union_with_the_type_of_the_id_is_refused_at_init(bind: Bind) -> None:
    class Unclear(MongoDocument):
        listed: list[ByText | str] = []

    with pytest.raises(DefinitionError, match=r"Unclear\.listed.*str.*ByText"):
        await bind(ByText, Unclear)


async def test_an_annotation_that_names_nothing_is_refused_at_init(bind: Bind) -> None:
    class Lost(MongoDocument):
        friend: "NobodyKnows | None" = None  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(DefinitionError, match=r"Lost.*NobodyKnows"):
        await bind(Lost)


async def test_an_unbound_referenced_class_is_refused_at_init(bind: Bind) -> None:
    with pytest.raises(DefinitionError, match=r"Post\.author refers to User"):
        await bind(Post, Tag)
    # also deep inside
    with pytest.raises(DefinitionError, match=r"Everything\.plain refers to User"):
        await bind(Everything, Tag, Badge, Company)


async def test_an_abstract_class_cannot_be_referred_to(bind: Bind) -> None:
    class Base(MongoDocument, abstract=True):
        name: str

    class Holder(MongoDocument):
        base: Base

    with pytest.raises(DefinitionError, match=r"Holder\.base refers to Base, which is abstract"):
        await bind(Holder)


async def test_classes_may_be_bound_by_several_inits(bind: Bind) -> None:
    await bind(User, Company, Tag)
    await bind(Post)
    post = await Post(title="x", author=await User(name="a").insert()).insert()
    assert (await Post.find_one()) == post


async def test_a_reference_to_a_class_of_core_is_refused_at_init(bind: Bind) -> None:
    class Plain(mongospec_core.MongoDocument):
        name: str

    class Holder(MongoDocument):
        plain: Plain

    with pytest.raises(DefinitionError, match=r"Holder\.plain.*mongospec-refs"):
        await bind(Plain, Holder)


async def test_a_forward_reference_in_a_function_resolves_by_name(bind: Bind) -> None:
    class Early(MongoDocument):
        late: "LateInFunction | None" = None

    class LateInFunction(MongoDocument):
        early: Early | None = None

    await bind(Early, LateInFunction)
    late = await LateInFunction().insert()
    early = await Early(late=late).insert()
    late.early = early
    await late.save()
    (read,) = await Early.find_all()
    assert read.late is not None and read.late.early is read

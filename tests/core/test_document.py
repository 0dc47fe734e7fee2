"""What a document is: class bodies and their refusals, mixins, copies, equality."""

import copy
import pickle
import warnings
from typing import Any, ClassVar

import msgspec
import pytest
from bson import ObjectId

from mongospec_core import (
    DefinitionError,
    DocumentNotFoundError,
    DocumentValidationError,
    EncodingError,
    MongoDocument,
    MongospecError,
    NotBoundError,
    changes,
)
from tests.conftest import Bind
from tests.zoo.people import Account, Address, Numbered, Person, Role

# -- class bodies


def test_fields_are_keyword_only_at_every_depth() -> None:
    class Base(MongoDocument):
        first: int = 0

    class Derived(Base):
        second: str  # a required field after one with a default

    assert Derived(second="b").first == 0
    with pytest.raises(TypeError):
        Derived("b")
    with pytest.raises(TypeError):
        Person("a")


def test_an_annotated_dunder_is_refused_with_the_way_out() -> None:
    with pytest.raises(DefinitionError, match=r"Bad\.__indexes__.*ClassVar") as caught:

        class Bad(MongoDocument):
            __indexes__: list[Any] = []

    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, MongospecError)


def test_an_annotated_dunder_in_text_is_refused_too() -> None:
    with pytest.raises(DefinitionError, match="ClassVar"):
        type(MongoDocument)(
            "Bad", (MongoDocument,), {"__annotations__": {"__collection_name__": "str"}}
        )


@pytest.mark.parametrize("name", ["a.b", "$a"])
def test_a_stored_name_that_mongodb_reads_as_something_else_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match=r"Bad\.value.*name="):

        class Bad(MongoDocument):
            value: int = msgspec.field(name=name)

    with pytest.raises(DefinitionError, match=r"Bad\.value.*rename"):

        class Bad(MongoDocument, rename={"value": name}):
            value: int


def test_a_stored_name_with_nul_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"Bad: .*names must not contain"):

        class Bad(MongoDocument):
            value: int = msgspec.field(name="a\0b")


def test_array_like_documents_are_refused() -> None:
    with pytest.raises(DefinitionError, match="array_like") as caught:

        class Bad(MongoDocument, array_like=True):
            value: int

    assert "leave array_like out" in str(caught.value)


async def test_an_abstract_class_is_refused_by_init(bind: Bind) -> None:
    class Base(MongoDocument, abstract=True):
        value: int = 0

    class Concrete(Base):
        pass

    with pytest.raises(DefinitionError, match=r"Base is abstract.*concrete subclasses"):
        await bind(Base)
    await bind(Concrete)  # abstract is not inherited
    assert (await Concrete(value=1).insert()).value == 1


async def test_something_that_is_no_document_class_is_refused_by_init(bind: Bind) -> None:
    for other in (Address, int, Person(name="a"), "Person"):
        with pytest.raises(DefinitionError, match="document_types"):
            await bind(other)


async def test_a_field_typed_as_a_document_is_refused_by_core_alone(bind: Bind) -> None:
    class Friend(MongoDocument):
        name: str

    shapes = [Friend, Friend | None, list[Friend], dict[str, Friend], tuple[Friend, int]]
    for shape in shapes:

        class Bad(MongoDocument):
            friend: shape

        with pytest.raises(DefinitionError, match=r"Bad\.friend.*Friend") as caught:
            await bind(Friend, Bad)
        assert "install mongospec-refs" in str(caught.value)
        assert "msgspec.Struct to embed" in str(caught.value)


async def test_a_document_inside_of_a_nested_struct_is_refused_too(bind: Bind) -> None:
    class Friend(MongoDocument):
        name: str

    class Holder(msgspec.Struct):
        friends: list[Friend]

    class Bad(MongoDocument):
        holder: Holder | None = None

    with pytest.raises(DefinitionError, match="mongospec-refs"):
        await bind(Bad)


async def test_an_annotation_that_cannot_be_resolved_is_refused(bind: Bind) -> None:
    class Bad(MongoDocument):
        value: "Nowhere"  # noqa: F821

    with pytest.raises(DefinitionError, match="Nowhere") as caught:
        await bind(Bad)
    assert "Bad" in str(caught.value)


async def test_a_union_that_msgspec_cannot_tell_apart_is_refused_by_init(bind: Bind) -> None:
    class Bad(MongoDocument):
        value: str | bytes

    with pytest.raises(DefinitionError, match="Bad"):
        await bind(Bad)


async def test_related_classes_on_one_collection_are_refused(bind: Bind) -> None:
    class Base(MongoDocument):
        __collection_name__ = "shared"

    class Derived(Base):
        pass

    with pytest.raises(DefinitionError, match=r"Base and Derived.*'shared'.*__collection_name__"):
        await bind(Base, Derived)
    with pytest.raises(DefinitionError, match="shared"):
        await bind(Derived, Base)


async def test_related_classes_on_one_collection_are_refused_over_two_inits(bind: Bind) -> None:
    class Base(MongoDocument):
        __collection_name__ = "shared"

    class Derived(Base):
        pass

    await bind(Base)
    with pytest.raises(DefinitionError, match="shared"):
        await bind(Derived)


async def test_strangers_may_share_a_collection(bind: Bind) -> None:
    class Whole(MongoDocument):
        __collection_name__ = "shared"
        name: str
        age: int = 0

    class Part(MongoDocument):
        __collection_name__ = "shared"
        name: str

    await bind(Whole, Part)
    await Whole(name="a", age=5).insert()
    (part,) = await Part.find_all()
    part.name = "b"
    await part.save()
    assert [(each.name, each.age) for each in await Whole.find_all()] == [("b", 5)]


# -- fields that hide methods


async def test_a_field_that_hides_a_method_warns_once_and_names_the_other_way(bind: Bind) -> None:
    with pytest.warns(UserWarning, match="hides") as caught:

        class Stock(MongoDocument):
            count: int = 0

    (warning,) = caught
    text = str(warning.message)
    assert "Stock.count hides" in text
    assert "super(Stock, Stock).count(...)" in text
    assert warning.filename == __file__
    await bind(Stock)
    await Stock(count=3).insert()
    assert await super(Stock, Stock).count() == 1
    (found,) = await Stock.find_all({"count": 3})
    assert found.count == 3


async def test_no_field_name_breaks_an_operation(bind: Bind) -> None:
    verbs = [
        name
        for name in dir(MongoDocument)
        if not name.startswith("_") and name not in {"id", "mro"}
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        cls: Any = type(MongoDocument)(
            "Names",
            (MongoDocument,),
            {"__annotations__": dict.fromkeys(verbs, int)} | dict.fromkeys(verbs, 0),
        )
    await bind(cls)
    way = super(cls, cls)
    one, other = cls(), cls()
    await MongoDocument.insert(one)
    assert await way.insert_many([other, cls()]) != []
    assert await way.insert_one(cls()) is not None
    assert await way.insert_if_not_exists(cls(_id=ObjectId())) is not None
    assert await way.count() == 5
    assert await way.count_documents() == 5
    assert await way.exists({"_id": one._id})
    assert await way.find_by_id(one._id) == one
    assert len(await way.find().to_list()) == 5
    assert len(await way.find_all()) == 5
    assert (await way.find_one({"_id": one._id}))._id == one._id
    one.save = 5
    await MongoDocument.save(one)
    assert (await way.find_by_id(one._id)).save == 5
    assert await way.update_one({}, {"$inc": {"find": 1}}) == 1
    assert await way.update_many({}, {"$inc": {"find": 1}}) == 5
    assert await way.update_by_id(one._id, {"$inc": {"find": 1}}) == 1
    assert (await way.find_one_and_update({}, {"$inc": {"find": 1}})).find > 0
    assert await MongoDocument.delete(one) == 1
    assert await way.delete_by_id(other._id) == 1
    assert await way.delete_one({}) == 1
    assert await way.delete_many({}) == 2
    assert MongoDocument.dump(one)["save"] == 5
    assert way.load({"save": 6}).save == 6
    assert copy.copy(one) == one
    assert changes(one)["save"] == 5


def test_a_field_that_was_inherited_hides_nothing_again() -> None:
    with pytest.warns(UserWarning, match="hides"):

        class Base(MongoDocument):
            count: int = 0

    class Derived(Base):
        count: int = 5  # no second warning: warnings are errors here

    assert Derived().count == 5


# -- field mixins


class Stamped(MongoDocument, mixin=True):
    stamp: int = 1


class Named(MongoDocument, mixin=True):
    label: str
    notes: list[str] = msgspec.field(default_factory=lambda: ["new"])


class Own(MongoDocument):
    __collection_name__ = "own"
    owner: str = "me"


class Mixed(Stamped, Named, Own):
    __collection_name__ = "mixed"
    value: int = 0


async def test_field_mixins_give_their_fields_to_concrete_classes(bind: Bind) -> None:
    await bind(Mixed)
    one = await Mixed(label="x").insert()
    assert (one.stamp, one.label, one.notes, one.owner, one.value) == (1, "x", ["new"], "me", 0)
    found = await Mixed.find_one({"label": "x"})
    assert found == one
    one.notes.append("more")
    assert Mixed(label="y").notes == ["new"]
    with pytest.raises(TypeError):
        Mixed()


def test_the_order_of_mixin_and_base_does_not_matter() -> None:
    class Other(Own, Stamped, Named):
        pass

    assert set(Other.__struct_fields__) == {"_id", "owner", "stamp", "label", "notes"}


def test_a_class_may_say_a_mixins_field_anew() -> None:
    class Louder(Stamped):
        stamp: int = 9

    class Loudest(Louder):
        pass

    assert (Louder().stamp, Loudest().stamp) == (9, 9)


async def test_a_mixin_has_no_documents_of_its_own(bind: Bind) -> None:
    with pytest.raises(DefinitionError, match=r"Stamped is a mixin.*subclass it"):
        Stamped()
    with pytest.raises(DefinitionError, match="Stamped is abstract"):
        await bind(Stamped)


async def test_a_mixin_of_a_mixin_and_its_hooks_work(bind: Bind) -> None:
    class Counting(Stamped, mixin=True):
        saves: int = 0

        def __pre_save__(self) -> None:
            self.saves += 1

    class Counted(Counting, Own):
        __collection_name__ = "counted"

    await bind(Counted)
    one = await Counted().insert()
    await one.save()
    assert (one.saves, one.stamp) == (2, 1)
    assert (await Counted.find_all()) == [one]


# -- ids


def test_an_id_is_a_read_only_property() -> None:
    _id = ObjectId()
    person = Person(_id=_id, name="a")
    assert person.id == _id == person._id
    with pytest.raises(AttributeError):
        person.id = ObjectId()
    assert Person(name="a").id is None


@pytest.mark.parametrize("_id", [7, "seven", {"a": 1, "b": 2}, 1.5, True, b"x"])
async def test_an_id_may_be_of_any_type_that_mongodb_takes(bind: Bind, _id: Any) -> None:
    class Own(MongoDocument):
        _id: Any = None
        value: int = 0

    await bind(Own)
    one = await Own(_id=_id).insert()
    found = await Own.find_by_id(_id)
    assert found == one
    assert type(found.id) is type(_id)
    found.value = 1
    await found.save()
    assert await Own.update_by_id(_id, {"$inc": {"value": 1}}) == 1
    assert await Own.delete_by_id(_id) == 1


async def test_an_id_may_be_a_struct(bind: Bind) -> None:
    class Key(msgspec.Struct, frozen=True):
        shop: str
        number: int

    class Order(MongoDocument):
        _id: Key | None = None
        value: int = 0

    await bind(Order)
    one = await Order(_id=Key("a", 1)).insert()
    assert await Order.find_by_id(Key("a", 1)) == one
    assert hash(one) == hash(Key("a", 1))
    one.value = 2
    await one.save()
    assert await one.delete() == 1


# -- equality and hash


def test_documents_are_equal_by_class_and_fields() -> None:
    _id = ObjectId()

    class Twin(MongoDocument):
        name: str

    assert Person(_id=_id, name="a") == Person(_id=_id, name="a")
    assert Person(_id=_id, name="a") != Person(_id=_id, name="b")
    assert Person(_id=_id, name="a") != Person(_id=ObjectId(), name="a")
    assert Person(_id=_id, name="a") != Twin(_id=_id, name="a")


def test_the_hash_is_that_of_the_id() -> None:
    one = Person(_id=ObjectId(), name="a")
    before = hash(one)
    one.name = "b"
    assert hash(one) == before == hash(one._id)
    with pytest.raises(TypeError, match="Person without _id"):
        hash(Person(name="a"))


def test_a_user_may_define_equality_and_hash() -> None:
    class Same(MongoDocument, eq=False):
        name: str

    one = Same(_id=ObjectId(), name="a")
    assert one != Same(_id=one._id, name="a")
    assert {one: "found"}[one] == "found"


# -- copies carry the stored form


def duplicates(document: Any) -> list[Any]:
    return [
        copy.copy(document),
        copy.replace(document),
        copy.deepcopy(document),
        pickle.loads(pickle.dumps(document)),
    ]


async def test_every_copy_of_a_saved_document_knows_what_is_stored(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a", tags=["x"], address=Address(city="Rome")).insert()
    (read,) = await Person.find_all()
    for each in duplicates(one) + duplicates(read):
        assert each == one
        assert changes(each) == {}
        each.age += 1
        assert changes(each) == {"age": 1}
        await each.save()
        each.age -= 1
        await each.save()
    assert changes(copy.replace(one, name="b")) == {"name": "b"}


def test_every_copy_of_a_new_document_is_new() -> None:
    one = Person(_id=ObjectId(), name="a")
    everything = {"name": "a", "age": 0, "tags": [], "address": None}
    for each in duplicates(one):
        assert each == one
        assert changes(each) == everything


def test_a_shallow_copy_shares_and_a_deep_one_does_not() -> None:
    one = Person(name="a", tags=["x"], address=Address(city="Rome"))
    assert copy.copy(one).tags is one.tags
    deep = copy.deepcopy(one)
    assert deep.tags is not one.tags
    assert deep.address is not one.address
    assert deep == one


def test_a_deep_copy_of_a_cycle_ends() -> None:
    class Node(MongoDocument):
        other: Any = None

    one = Node()
    one.other = [one]
    twin = copy.deepcopy(one)
    assert twin is not one
    assert twin.other[0] is twin


def test_copy_replace_refuses_what_is_no_field() -> None:
    with pytest.raises(TypeError, match="nope"):
        copy.replace(Person(name="a"), nope=1)


class Frozen(MongoDocument, frozen=True):
    name: str


async def test_frozen_documents_work(bind: Bind) -> None:
    await bind(Frozen)
    one = await Frozen(name="a").insert()
    (found,) = await Frozen.find_all()
    assert found == one
    assert {found} == {one}
    with pytest.raises(AttributeError):
        one.name = "b"
    assert [each == one for each in duplicates(found)] == [True] * 4
    assert changes(copy.replace(found, name="b")) == {"name": "b"}
    await copy.replace(found, name="b").save()
    assert [each.name for each in await Frozen.find_all()] == ["b"]


def test_post_init_is_not_run_by_a_copy() -> None:
    ran = []

    class Watched(MongoDocument):
        name: str = ""

        def __post_init__(self) -> None:
            ran.append(self.name)

    one = Watched(name="a")
    copy.copy(one)
    copy.deepcopy(one)
    assert ran == ["a"]


# -- dump and load


def test_dump_is_what_would_be_stored() -> None:
    _id = ObjectId()
    account = Account(_id=_id, email="a@x", role=Role.WRITER)
    assert account.dump() == {"_id": _id, "email": "a@x", "role": "writer", "since": None}
    assert "_id" not in Account(email="a@x").dump()
    person = Person(name="a", tags=["x"], address=Address(city="Rome"))
    data = person.dump()
    assert data["address"] == {"city": "Rome", "place": None}
    data["tags"].append("y")
    assert person.tags == ["x"]


async def test_dump_equals_the_stored_document(bind: Bind) -> None:
    await bind(Person)
    one = await Person(name="a", tags=["x"], address=Address(city="Rome")).insert()
    assert await Person.get_collection().find_one({}) == one.dump()


def test_load_takes_the_way_of_a_read() -> None:
    given = {"name": "a", "address": {"city": "Rome"}, "unknown": 1}
    person = Person.load(given)
    assert person == Person(name="a", address=Address(city="Rome"))
    assert given == {"name": "a", "address": {"city": "Rome"}, "unknown": 1}
    with pytest.raises(DocumentValidationError) as caught:
        Person.load({"_id": ObjectId(), "name": 5})
    assert caught.value.path == "name"


def test_load_and_dump_need_no_server() -> None:
    for each in (Person(name="a"), Numbered(_id=7), Account(email="a")):
        assert type(each).load(each.dump()) == each


async def test_a_loaded_document_counts_as_new(bind: Bind) -> None:
    await bind(Person)
    person = Person.load({"_id": ObjectId(), "name": "a"})
    assert changes(person) == {"name": "a", "age": 0, "tags": [], "address": None}
    with pytest.raises(DocumentNotFoundError):
        await person.save()


# -- msgspec's class options


async def test_rename_tag_omit_defaults_and_unset_are_respected(bind: Bind) -> None:
    class Styled(MongoDocument, rename="camel", tag="styled", omit_defaults=True):
        first_name: str
        last_name: str | msgspec.UnsetType = msgspec.UNSET
        age: int = 0

    db = await bind(Styled)
    one = await Styled(first_name="a").insert()
    assert await db["Styled"].find_one({}) == {"_id": one.id, "type": "styled", "firstName": "a"}
    (found,) = await Styled.find_all({"firstName": "a"})
    assert found == one
    found.last_name, found.age = "b", 5
    assert changes(found) == {"lastName": "b", "age": 5}
    await found.save()
    assert await Styled.find_all() == [found]
    found.last_name, found.age = msgspec.UNSET, 0
    await found.save()
    assert await db["Styled"].find_one({}) == {"_id": one.id, "type": "styled", "firstName": "a"}


async def test_a_renamed_id_is_still_the_id(bind: Bind) -> None:
    class Loud(MongoDocument, rename="upper"):
        name: str

    await bind(Loud)
    one = await Loud(name="a").insert()
    assert await Loud.get_collection().find_one({}) == {"_id": one.id, "NAME": "a"}


async def test_forbid_unknown_fields_is_respected(bind: Bind) -> None:
    class Strict(MongoDocument, forbid_unknown_fields=True):
        name: str

    await bind(Strict)
    await Strict.get_collection().insert_one({"name": "a", "more": 1})
    with pytest.raises(DocumentValidationError, match="more"):
        await Strict.find_all()


async def test_classvars_of_a_users_own_are_no_fields(bind: Bind) -> None:
    class Kinds(MongoDocument):
        KINDS: ClassVar[list[str]] = ["a"]
        kind: str = "a"

    await bind(Kinds)
    await Kinds().insert()
    assert (await Kinds.get_collection().find_one({}, projection={"_id": 0})) == {"kind": "a"}


async def test_the_abstract_base_has_no_documents() -> None:
    with pytest.raises(NotBoundError, match="abstract"):
        await MongoDocument.find_one()


@pytest.mark.parametrize("name", [5, "a$b"])
async def test_a_collection_name_that_is_none_names_the_class(bind: Bind, name: Any) -> None:
    cls = type(MongoDocument)("Named", (MongoDocument,), {"__collection_name__": name})
    with pytest.raises(DefinitionError, match=r"Named\.__collection_name__"):
        await bind(cls)


def test_two_bases_with_fields_are_told_about_mixins() -> None:
    class One(MongoDocument):
        a: int

    class Two(MongoDocument):
        b: int

    with pytest.raises(DefinitionError, match="mixin=True"):

        class Both(One, Two):
            pass


async def test_a_document_that_contains_itself_is_named(bind: Bind) -> None:
    class Loose(MongoDocument):
        anything: Any

    await bind(Loose)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(EncodingError, match=r"Loose.*contains itself"):
        await Loose(anything=endless).insert()


class Open(MongoDocument, dict=True):
    """Takes attributes beside its fields, which are not stored."""

    name: str


async def test_attributes_beside_the_fields_survive_copies_and_pickles(bind: Bind) -> None:
    await bind(Open)
    one = await Open(name="a").insert()
    document: Any = one
    document.seen_by = ["Ann"]
    for each in duplicates(document):
        assert each == one
        assert each.seen_by == ["Ann"]
        assert changes(each) == {}
        each.more = 1
    assert not hasattr(document, "more")
    assert copy.copy(document).seen_by is document.seen_by
    assert copy.deepcopy(document).seen_by is not document.seen_by
    assert copy.replace(document, name="b").seen_by == ["Ann"]
    assert "seen_by" not in document.dump()

"""Random graphs with cycles and shared nodes: the database holds exactly what was changed."""

from typing import Any, NamedTuple

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mongospec_core import changes
from mongospec_refs import MongoDocument, is_resolved
from mongospec_testing import FaultProxy
from tests.conftest import Bind


class Edge(msgspec.Struct):
    to: "Node | None" = None


class Node(MongoDocument):
    label: int
    score: int = 0
    friend: "Node | None" = None
    others: list["Node"] = []
    named: dict[str, "Node"] = {}
    edge: Edge = msgspec.field(default_factory=Edge)


class Hub(MongoDocument):
    """Keeps every node in reach, whatever happens to their edges."""

    nodes: list[Node]


class Shape(NamedTuple):
    """The edges of one node, by number."""

    friend: int | None
    others: list[int]
    named: dict[str, int]
    edge: int | None

    def stored(self, ids: list[Any]) -> dict[str, Any]:
        def id_of(number: int | None) -> Any:
            return None if number is None else ids[number]

        return {
            "friend": id_of(self.friend),
            "others": [ids[each] for each in self.others],
            "named": {name: ids[each] for name, each in self.named.items()},
            "edge": {"to": id_of(self.edge)},
        }

    def give(self, node: Node, nodes: list[Node]) -> None:
        node.friend = None if self.friend is None else nodes[self.friend]
        node.others = [nodes[each] for each in self.others]
        node.named = {name: nodes[each] for name, each in self.named.items()}
        node.edge.to = None if self.edge is None else nodes[self.edge]


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Shape], dict[int, int], dict[int, Shape], set[int]]:
    """A graph, new labels, new edges, and the nodes that another writer changes."""
    count = draw(st.integers(1, 6))
    number = st.integers(0, count - 1)
    maybe = st.none() | number
    shape = st.builds(
        Shape,
        maybe,
        st.lists(number, max_size=3),
        st.dictionaries(st.sampled_from("ab"), number, max_size=2),
        maybe,
    )
    graph = draw(st.lists(shape, min_size=count, max_size=count))
    labels = draw(st.dictionaries(number, st.integers(0, 5), max_size=3))
    edges = draw(st.dictionaries(number, shape, max_size=3))
    return graph, labels, edges, draw(st.sets(number, max_size=3))


async def stored(ids: list[Any]) -> list[dict[str, Any]]:
    cursor = await Node.get_collection().find({})
    found = {each["_id"]: each async for each in cursor}
    return [found[each] for each in ids]


@given(histories())
@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_the_database_holds_exactly_what_was_changed(
    bind: Bind,
    mongo_proxy: FaultProxy,
    history: tuple[list[Shape], dict[int, int], dict[int, Shape], set[int]],
) -> None:
    graph, labels, edges, others = history
    await bind(Node, Hub)
    await Hub.delete_many({})
    await Node.delete_many({})
    new = [Node(label=number) for number in range(len(graph))]
    for node, shape in zip(new, graph, strict=True):
        shape.give(node, new)
    hub = Hub(nodes=new)
    created = (await hub.insert_recursive()).created_documents
    assert len(created) == len(new) + 1 and created[-1] is hub
    ids = [each.id for each in new]
    expected = [
        {"_id": ids[number], "label": number, "score": 0, **shape.stored(ids)}
        for number, shape in enumerate(graph)
    ]
    assert await stored(ids) == expected

    with mongo_proxy.max_queries(2):
        (read,) = await Hub.find_all()
    nodes = read.nodes
    assert all(is_resolved(each) and changes(each) == {} for each in nodes)
    for node, shape in zip(nodes, graph, strict=True):
        assert node.friend is (None if shape.friend is None else nodes[shape.friend])
        assert all(
            one is nodes[other] for one, other in zip(node.others, shape.others, strict=True)
        )
        assert node == new[nodes.index(node)]

    before = [dict(each) for each in expected]
    for number, label in labels.items():
        nodes[number].label = expected[number]["label"] = label
    for number, shape in edges.items():
        shape.give(nodes[number], nodes)
        expected[number] |= shape.stored(ids)
    changed = [number for number in range(len(graph)) if before[number] != expected[number]]
    for number in others:
        await Node.get_collection().update_one({"_id": ids[number]}, {"$set": {"score": 7}})
        expected[number]["score"] = 7
    with mongo_proxy.recording() as seen:
        await read.save()
    sent = [each["q"]["_id"] for command in seen for each in command.body["updates"]]
    assert sorted(sent) == sorted(ids[number] for number in changed)
    assert len(seen) == bool(changed)
    assert await stored(ids) == expected
    with mongo_proxy.recording() as seen:
        await read.save()
    assert seen == []

"""Draw docs/images/plan.svg: what `mongospec plan` writes into a terminal."""

from mongospec_cli import CollectionSize, Plan, Step, Undeclared
from mongospec_cli.report import show_plan
from scripts import terminal_picture

PICTURE = terminal_picture.IMAGES / "plan.svg"
ORDERS = CollectionSize(1_204_432, 618_000_000)
PLAN = Plan(
    database="shop",
    steps=[
        Step(
            action="create",
            collection="orders",
            name="customer_1_placed_at_-1",
            owner="Order",
            after={"key": {"customer": 1, "placed_at": -1}, "name": "customer_1_placed_at_-1"},
            blocked="reads and writes go on while it is built",
            size=ORDERS,
        ),
        Step(
            action="change",
            collection="orders",
            name="reserved_at_1",
            owner="Order",
            before={"key": {"reserved_at": 1}, "name": "reserved_at_1", "expireAfterSeconds": 60},
            after={"key": {"reserved_at": 1}, "name": "reserved_at_1", "expireAfterSeconds": 600},
            blocked="the collection waits for a moment",
            size=ORDERS,
        ),
        Step(
            action="rebuild",
            collection="customers",
            name="email_1_2",
            owner="Customer",
            before={"key": {"email": 1}, "name": "email_1"},
            after={"key": {"email": 1}, "name": "email_1_2", "unique": True},
            blocked="reads and writes go on while it is built",
            size=CollectionSize(80_211, 14_000_000),
        ),
    ],
    undeclared=[
        Undeclared(collection="orders", index={"key": {"state": 1}, "name": "state_1"}),
    ],
)


def picture() -> str:
    """The picture of ``mongospec plan``."""
    return terminal_picture.picture("plan", 118, lambda console: show_plan(console, PLAN))


if __name__ == "__main__":
    PICTURE.write_text(picture())
    print(PICTURE)

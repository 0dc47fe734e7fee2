"""Draw docs/images/plan.svg: what `mongospec plan` writes into a terminal, by rich's own export."""

import os
import re
from pathlib import Path

from rich.console import Console

from mongospec_cli import CollectionSize, Plan, Step, Undeclared
from mongospec_cli.report import show_plan

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "plan.svg"
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
    """The picture, which loads no fonts from elsewhere."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(
            record=True,
            width=118,
            file=nowhere,
            highlight=False,
            color_system="standard",
            force_terminal=True,
            legacy_windows=False,
        )
        console.print("$ mongospec plan shop.models")
        show_plan(console, PLAN)
    drawn = console.export_svg(title="mongospec plan", unique_id="plan")
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


if __name__ == "__main__":
    PICTURE.write_text(picture())
    print(PICTURE)

"""Draw docs/images/audit.svg: what `mongospec audit` writes into a terminal."""

from bson import ObjectId

from mongospec_cli import (
    Audit,
    Audited,
    Dangling,
    LaxValue,
    OldDocuments,
    UndeclaredField,
    Unreadable,
)
from mongospec_cli.document_report import show_audit
from scripts import terminal_picture

PICTURE = terminal_picture.IMAGES / "audit.svg"
IDS = [ObjectId(f"65f0c0ffee65f0c0ffee{number:04}") for number in range(6)]
FOUND = Audit(
    finished=True,
    database="shop",
    read=[
        Audited(owner="Customer", collection="customers", documents=80_211),
        Audited(owner="Order", collection="orders", documents=1_204_432),
    ],
    unreadable=[
        Unreadable(
            owner="Customer",
            path="email",
            reason="Expected `str`, got `null`",
            count=12,
            examples=IDS[:1],
        )
    ],
    dangling=[
        Dangling(
            owner="Order",
            path="items[].product",
            target="Product",
            count=31,
            examples=[(IDS[1], IDS[2])],
        )
    ],
    old=[
        OldDocuments(owner="Customer", fields=["full_name", "name"], count=9_034, examples=IDS[3:4])
    ],
    lax=[
        LaxValue(
            owner="Order",
            path="items[].price",
            stored="int",
            written="double",
            count=5_120,
            examples=IDS[5:],
        )
    ],
    undeclared=[
        UndeclaredField(
            owner="Order",
            path="address.zip",
            count=204,
            types={"string": 201, "int": 3},
            examples=IDS[4:5],
        )
    ],
)


def picture() -> str:
    """The picture of ``mongospec audit``."""
    return terminal_picture.picture("audit", 152, lambda console: show_audit(console, FOUND))


if __name__ == "__main__":
    PICTURE.write_text(picture())
    print(PICTURE)

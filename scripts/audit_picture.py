"""Draw docs/images/audit.svg: what `mongospec audit` writes into a terminal, by rich's own export."""

import os
import re
from pathlib import Path

from bson import ObjectId
from rich.console import Console

from mongospec_cli import Audit, Audited, Dangling, OldDocuments, UndeclaredField, Unreadable
from mongospec_cli.document_report import show_audit

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "audit.svg"
IDS = [ObjectId(f"65f0c0ffee65f0c0ffee{number:04}") for number in range(5)]
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
    undeclared=[
        UndeclaredField(
            owner="Order",
            path="address.zip",
            count=204,
            types={"string": 201, "int": 3},
            examples=IDS[4:],
        )
    ],
)


def picture() -> str:
    """The picture, which loads no fonts from elsewhere."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(
            record=True,
            width=136,
            file=nowhere,
            highlight=False,
            color_system="standard",
            force_terminal=True,
            legacy_windows=False,
        )
        console.print("$ mongospec audit shop.models")
        show_audit(console, FOUND)
    drawn = console.export_svg(title="mongospec audit", unique_id="audit")
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


if __name__ == "__main__":
    PICTURE.write_text(picture())
    print(PICTURE)

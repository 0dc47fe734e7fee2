"""Draw what a command writes into a terminal, by rich's own export."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

IMAGES = Path(__file__).parent.parent / "docs" / "images"


def picture(command: str, width: int, show: Callable[[Console], None]) -> str:
    """Return the SVG, which loads no fonts from elsewhere.

    :param command: like ``audit``.
    :param show: writes what the command writes.
    """
    with Path(os.devnull).open("w") as nowhere:
        console = Console(
            record=True,
            width=width,
            file=nowhere,
            highlight=False,
            color_system="standard",
            force_terminal=True,
            legacy_windows=False,
        )
        console.print(f"$ mongospec {command} shop.models")
        show(console)
    drawn = console.export_svg(title=f"mongospec {command}", unique_id=command)
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)

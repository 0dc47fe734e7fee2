"""The links of Markdown files that lead nowhere: to a file or a heading that is not there."""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

_FENCED = re.compile(r"^(```|~~~).*?^\1", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def links(text: str) -> Iterator[str]:
    """Yield the targets of a file's links, those in code left out."""
    return (found[1] for found in _LINK.finditer(_CODE.sub("``", _FENCED.sub("", text))))


def anchors(path: Path) -> set[str]:
    """Return the names under which GitHub shows a file's headings."""
    names: set[str] = set()
    text = path.read_text(encoding="utf-8")
    for found in _HEADING.finditer(_FENCED.sub("", text)):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", found[1]).lower()
        names.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return names


def broken(paths: Iterable[Path]) -> list[str]:
    """Return one line for each link inside the checkout that leads nowhere."""
    found: list[str] = []
    for path in paths:
        for link in links(path.read_text(encoding="utf-8")):
            target, _, anchor = unquote(link).partition("#")
            if re.match(r"[a-z]+:", target):
                continue  # elsewhere
            file = path.parent / target if target else path
            if not file.exists():
                found.append(f"{path}: there is no {target}")
            elif anchor and file.suffix == ".md" and anchor not in anchors(file):
                found.append(f"{path}: {file.name} has no heading #{anchor}")
    return found


def relative(text: str) -> list[str]:
    """Return the links that are good in the checkout alone; a page on PyPI may have none of them."""
    return [link for link in links(text) if not re.match(r"[a-z]+:|#", link)]


if __name__ == "__main__":
    if lines := broken(map(Path, sys.argv[1:])):
        sys.exit("\n".join(lines))

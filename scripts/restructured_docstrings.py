"""A griffe extension: the reStructuredText of our docstrings becomes the Markdown that the site is made of.

Fields (`:param x:`) are griffe's business. What is left are code blocks and roles such as
`:func:`init``; a role becomes a link if it names something public.
"""

import ast
import re
import textwrap
from pathlib import Path
from typing import Any

import griffe

_BLOCK = re.compile(r"^( *)\.\. code-block:: (\w+)\n\s*\n((?:\1 +.*\n?|[ \t]*\n)+)", re.MULTILINE)
_FIELD = re.compile(r"^:(param|raises|returns?)\b", re.MULTILINE)
_FENCED = re.compile(r"^```\w+\n.*?^```\n", re.DOTALL | re.MULTILINE)
_ROLE = re.compile(r":(class|func|meth|attr|mod|exc):`(~?)([\w.]+)`")
_PACKAGES = ("core", "refs", "kv", "discovery", "testing")


def public_names(root: Path) -> dict[str, str]:
    """Return the dotted path of every name that one of the packages lists in its `__all__`."""
    names: dict[str, str] = {}
    for part in _PACKAGES:
        file = root / f"packages/mongospec-{part}/src/mongospec_{part}/__init__.py"
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            match node:
                case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                    names |= {name: f"mongospec_{part}.{name}" for name in ast.literal_eval(value)}
                case _:
                    pass
    return names


class RestructuredDocstrings(griffe.Extension):
    """Rewrite each docstring once, before it is parsed."""

    def __init__(self) -> None:
        super().__init__()
        self._public = public_names(Path(__file__).resolve().parent.parent)

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Take an object that griffe has read."""
        if (docstring := obj.docstring) is None:
            return
        docstring.value = self.to_markdown(docstring.value)
        # Parsed here and not by the pages, so that what is raised can become links. What stands
        # behind `**options` is documented, too: that does not deserve a warning.
        options = {"warn_unknown_params": False, "warnings": False}
        sections = docstring.parse("sphinx", **options)
        for section in sections:
            if isinstance(section, griffe.DocstringSectionRaises):
                for each in section.value:
                    package, _, name = self._public.get(str(each.annotation), "").rpartition(".")
                    if name:
                        each.annotation = griffe.ExprName(name, parent=package)
        vars(docstring)["parsed"] = sections

    def to_markdown(self, text: str) -> str:
        """Return a docstring's text with fenced code and links; its example goes before the fields."""
        text = _ROLE.sub(self._link, _BLOCK.sub(self._fence, text + "\n"))
        if (field := _FIELD.search(text)) is None:
            return text
        said, fields = text[: field.start()], text[field.start() :]
        examples = "\n".join(_FENCED.findall(fields))
        return f"{said}{examples}\n{_FENCED.sub('', fields)}"

    def _fence(self, found: re.Match[str]) -> str:
        indent, language, body = found.groups()
        code = textwrap.dedent(body).strip("\n")
        return textwrap.indent(f"```{language}\n{code}\n```\n", indent)

    def _link(self, found: re.Match[str]) -> str:
        kind, short, path = found.groups()
        shown = path.rpartition(".")[2] if short else path
        call = "()" if kind in {"func", "meth"} else ""
        target = self._public.get(path.rpartition(".")[2] if short else path)
        return f"[`{shown}{call}`][{target}]" if target else f"`{shown}{call}`"

"""Bars as SVG: light or dark as the reader's page is."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple


class Bar(NamedTuple):
    label: str
    value: float | None
    """None: the operation does not exist."""
    ours: bool = False


class Panel(NamedTuple):
    title: str
    bars: list[Bar]


_WIDTH = 800
_LABELS = 184  # pixels for the names, which stand once a row of panels
_COLUMNS = 2
_GAP = 24
_LINE = 19
_BAR = 12
_MOST = 12.0  # longer bars are cut
_STYLE = """\
text { font: 12px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.head { font-size: 14px; font-weight: 600 }
.title { font-weight: 600 }
.ours { font-weight: 600 }
.faint { fill: #6e7781 }
.bar { fill: #9aa4b0 }
.bar.ours { fill: #0969da }
.value, .faint { paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
.one { stroke: #6e7781; stroke-dasharray: 2 3 }
.paper { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .faint { fill: #8d96a0 }
  .bar { fill: #57606a }
  .bar.ours { fill: #4493f8 }
  .value, .faint { stroke: #0d1117 }
  .one { stroke: #8d96a0 }
  .paper { fill: #0d1117 }
}"""


def svg(head: str, panels: Sequence[Panel]) -> str:
    """Panels in two columns, one bar a contender; a dashed line stands at 1, a gap in a bar cut short."""
    width = (_WIDTH - _LABELS - _GAP * _COLUMNS) // _COLUMNS
    height = (len(panels[0].bars) + 2) * _LINE + 8
    rows = -(-len(panels) // _COLUMNS)
    total = 40 + rows * height
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {total}" '
            f'width="{_WIDTH}" height="{total}" role="img">'
        ),
        f"<title>{escape(head)}</title><style>{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{total}"/>',
        f'<text class="head" x="12" y="24">{escape(head)}</text>',
    ]
    for number, panel in enumerate(panels):
        row, column = divmod(number, _COLUMNS)
        top = 44 + row * height
        if column == 0:
            parts += _names(panel.bars, top)
        parts += _panel(panel, _LABELS + column * (width + _GAP), top, width)
    return "\n".join([*parts, "</svg>", ""])


def _names(bars: Sequence[Bar], top: int) -> list[str]:
    return [
        f'<text class="{"ours" if bar.ours else "name"}" x="{_LABELS - 10}" '
        f'y="{top + (place + 2) * _LINE - 5}" text-anchor="end">{escape(bar.label)}</text>'
        for place, bar in enumerate(bars)
    ]


def _panel(panel: Panel, left: int, top: int, width: int) -> list[str]:
    most = min(max(bar.value or 1 for bar in panel.bars), _MOST)
    scale = (width - 46) / max(most, 1)  # pixels for 1; the rest is for the figure behind the bar
    end = top + (len(panel.bars) + 1) * _LINE + 2
    one = left + scale
    parts = [
        f'<text class="title" x="{left}" y="{top + _LINE - 5}">{escape(panel.title)}</text>',
        f'<line class="one" x1="{one:.1f}" x2="{one:.1f}" y1="{top + _LINE}" y2="{end}"/>',
    ]
    for place, bar in enumerate(panel.bars):
        base = top + (place + 2) * _LINE - 5
        if bar.value is None:
            parts.append(f'<text class="faint" x="{left + 2}" y="{base}">not offered</text>')
            continue
        length, kind = min(bar.value, _MOST) * scale, " ours" if bar.ours else ""
        parts.append(
            f'<rect class="bar{kind}" x="{left}" y="{base - _BAR + 2}" width="{length:.1f}" '
            f'height="{_BAR}" rx="2"/>'
            f'<text class="value{kind}" x="{left + length + 6:.1f}" y="{base}">{bar.value:.2f}</text>'
        )
        if bar.value > _MOST:
            gap = left + length - 14
            parts.append(
                f'<rect class="paper" x="{gap:.1f}" y="{base - 12}" width="4" height="16"/>'
            )
    return parts

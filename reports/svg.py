"""Figure -> inline SVG that lives in a page: themable, accessible, no clash of ids.

matplotlib writes a file meant to stand alone. Inlined twice, its ids collide (the second chart's
clips point into the first), its style sheet restyles the page and its colours ignore the theme.
Charts therefore draw in sentinel colours, and this post-processor rewrites them to CSS variables.
"""

from __future__ import annotations

import io
import re
import warnings
from html import escape

import matplotlib as mpl
from matplotlib.figure import Figure

from reports._letters import harmless

# sentinel -> CSS variable; charts import the left side by name
SERIES = tuple(f"#01020{i}" for i in range(6))
AXIS, GRID, LIMIT, TEXT, SHADE = "#010208", "#010209", "#01020a", "#01020b", "#01020c"
VARIABLES = {
    **{color: f"var(--series-{i})" for i, color in enumerate(SERIES)},
    AXIS: "var(--axis)",
    GRID: "var(--grid)",
    LIMIT: "var(--limit)",
    TEXT: "var(--text)",
    SHADE: "var(--shade)",
}

_HEX = re.compile(r"#[0-9a-fA-F]{6}\b(?=[^<>]*>)")  # inside a tag: a name may be `#c0ffee`
_PROLOG = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", re.DOTALL)
_STYLE = re.compile(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", re.DOTALL)
_PLACES = re.compile(r'\b(?:d|x|y|points|transform)="[^"]*"')
_FRACTION = re.compile(r"(\d+\.\d\d)\d+")
_STEP = re.compile(r"\s*([MLCQz])\s*")  # spaces and line ends about a path's commands
_FAMILY = re.compile(r"font-family: [^;\"]*(?:; )?")
_ROOT = re.compile(r"<svg\b[^>]*>", re.DOTALL)


class UnthemedColour(ValueError):
    """A chart drew in a colour that no theme can change."""


def to_inline_svg(figure: Figure, chart_id: str, title: str, description: str) -> str:
    """An `<svg>` element for the page. Byte-identical for the same figure.

    chart_id prefixes every id inside.  Raises UnthemedColour on any colour but the sentinels.
    """
    buffer = io.StringIO()
    # The salt makes matplotlib's generated ids a function of the chart alone.
    settings = {"svg.fonttype": "none", "svg.hashsalt": chart_id}
    with mpl.rc_context(settings), warnings.catch_warnings():  # type: ignore[arg-type]
        # a letter that matplotlib's font lacks is in the reader's
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = _STYLE.sub("", _PROLOG.sub("", harmless(buffer.getvalue())))
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    # a hundredth of a point is a tenth of what an eye sees, and half of a page's bytes
    text = _PLACES.sub(_short, text)
    text = _prefix_ids(text, chart_id)
    text = _HEX.sub(_themed, text)
    text = _FAMILY.sub("", text)  # the page's own font
    return _ROOT.sub(lambda root: _accessible(root[0], chart_id, title, description), text).strip()


def _short(place: re.Match[str]) -> str:
    text = _FRACTION.sub(r"\1", place[0])
    return _STEP.sub(r"\1", text) if text.startswith("d=") else text


def _prefix_ids(text: str, prefix: str) -> str:
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'\bhref="#([^"]+)"', rf'href="#{prefix}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)


def _themed(match: re.Match[str]) -> str:
    color = match[0].lower()
    if color not in VARIABLES:
        raise UnthemedColour(f"{color} is not a sentinel; draw with the names of reports.svg")
    return VARIABLES[color]


def _accessible(root: str, chart_id: str, title: str, description: str) -> str:
    box = re.search(r'viewBox="[^"]*"', root)
    assert box is not None
    return (
        f'<svg class="chart" {box[0]} role="img" aria-labelledby="{chart_id}-t {chart_id}-d" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{chart_id}-t">{escape(harmless(title))}</title>'
        f'<desc id="{chart_id}-d">{escape(harmless(description))}</desc>'
    )

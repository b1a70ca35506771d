"""View -> one self-contained HTML file: no network, no clock, the same bytes for the same View."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from reports._embedded import embedded_json
from reports._letters import harmless
from reports.charts import draw
from reports.svg import to_inline_svg
from reports.view import Chart, View


def render_html(view: View) -> str:
    """The report, complete without JavaScript, readable from `file://`."""
    css, script = _static("report.css"), _static("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = _environment().get_template("report.html")
    return page.render(
        view=view,
        css=Markup(css),
        script=Markup(script),
        script_sha256=digest,
        svg=_pictures(view),
        data_json=Markup(embedded_json(view.data)),
    )


def _pictures(view: View) -> dict[str, Markup]:
    charts = [b for section in view.sections for b in section.leaves if isinstance(b, Chart)]
    charts += [view.lead] if view.lead else []
    return {c.id: Markup(to_inline_svg(draw(c), c.id, c.title, c.description)) for c in charts}


def _environment() -> Environment:
    folder = files("reports") / "templates"
    return Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_shown,
    )


def _shown(value: Any) -> Any:
    """Every word that is printed; what is markup already stays."""
    return harmless(value) if type(value) is str else value


def _static(name: str) -> str:
    return (files("reports") / "static" / name).read_text(encoding="utf-8")

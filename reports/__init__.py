"""A run -> HTML, Markdown, JUnit, CSV. Renderers load lazily: only drawing imports matplotlib."""

from __future__ import annotations

from typing import Any

from reports._failures import Failures
from reports._many import MOST_DETAILED
from reports.build import build_view
from reports.facts import RunFacts
from reports.junit import render_junit
from reports.markdown import render_markdown
from reports.points_csv import render_csv
from reports.view import View

__all__ = [
    "Failures", "RunFacts", "View", "build_calibration_view", "build_gate_view", "build_view",
    "leaves_figures_out", "render_csv", "render_html", "render_junit", "render_markdown",
]  # fmt: skip


def render_html(view: View) -> str:
    """One self-contained HTML file."""
    from reports.html import render_html as render

    return render(view)


def build_gate_view(*args: Any, **kwargs: Any) -> View:
    """As reports.gate_view.build_gate_view, whose statistics take a second to import."""
    from reports.gate_view import build_gate_view as build

    return build(*args, **kwargs)


def build_calibration_view(*args: Any, **kwargs: Any) -> View:
    """As reports.calibration_view.build_calibration_view, whose fits take a second to import."""
    from reports.calibration_view import build_calibration_view as build

    return build(*args, **kwargs)


def leaves_figures_out(view: View) -> bool:
    """Whether the page has figures of some points only, and names points.csv for the others."""
    return len(view.data.get("points", ())) > MOST_DETAILED

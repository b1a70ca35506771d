"""Chart -> inline SVG. Knows no page, no file and no run."""

from __future__ import annotations

from reports.charts.draw import draw

__all__ = ["draw"]

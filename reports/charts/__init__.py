"""Chart -> matplotlib Figure. Knows no HTML, no file and no run; draws in sentinel colours."""

from __future__ import annotations

from reports.charts.draw import draw

__all__ = ["draw"]

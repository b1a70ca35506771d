"""Arithmetic tasks: addition below 100, sorting, counting in words and digits."""

# ruff: noqa: SIM905 - word lists read better as text
from __future__ import annotations

from .draw import Chat, Draw, chat

_ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
fifteen sixteen seventeen eighteen nineteen""".split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(n: int) -> str:
    """0..99 in English."""
    if n < 20:
        return _ONES[n]
    return _TENS[n // 10] + (f"-{_ONES[n % 10]}" if n % 10 else "")


def _addends(draw: Draw) -> tuple[int, int]:
    """Two numbers whose sum is below 100; a tenth of the 5,050 pairs is held out."""

    def make() -> tuple[int, int]:
        total = max(draw.number(0, 99), draw.number(0, 99))  # pairs, not totals, are uniform
        first = draw.number(0, total)
        return first, total - first

    return draw.until(make, lambda p: f"{p[0]}+{p[1]}")


def sums(draw: Draw) -> Chat:
    """Several sums at once: three times the answers a token of a single one. Training only."""
    pairs = [_addends(draw) for _ in range(draw.number(3, 14))]
    asked = "; ".join(f"{a} + {b}" for a, b in pairs)
    if draw.chance(0.5):
        return chat("sums", f"Add: {asked}", "; ".join(f"{a} + {b} = {a + b}" for a, b in pairs))
    return chat("sums", f"What is {asked}?", "; ".join(str(a + b) for a, b in pairs))


def addition(draw: Draw) -> Chat:
    """A sum below 100."""
    a, b = _addends(draw)
    ask = draw.pick(["What is {} + {}?", "{} + {} ="])
    return chat("addition", ask.format(a, b), str(a + b))


def sorting(draw: Draw) -> Chat:
    """Three to six numbers 0..99 in rising order."""

    def make() -> list[int]:
        return [draw.number(0, 99) for _ in range(draw.number(3, 6))]

    numbers = draw.until(make, str)
    ask = draw.pick(["Sort these numbers: {}.", "Put in order: {}.", "Sort: {}."])
    listed = ", ".join(map(str, numbers))
    return chat("sorting", ask.format(listed), ", ".join(map(str, sorted(numbers))))


def counting(draw: Draw) -> Chat:
    """Count up or down between two numbers; pairs are split, up and down alike."""
    return _count(draw, "counting", (3, 12), 0.3)


def short_counts(draw: Draw) -> Chat:
    """A few steps up or down: which way to go is the hard part. Training only."""
    return _count(draw, "short counts", (1, 4), 0.5)


def low_counts(draw: Draw) -> Chat:
    """Counts from below 30, whose words follow no pattern. Training only: uniform starts show each
    of them too rarely."""
    return _count(draw, "low counts", (3, 12), 0.45, highest=30)


def next_steps(draw: Draw) -> Chat:
    """The first step of many counts: all of the hard part and nothing else. Training only."""
    asked, said = [], []
    for _ in range(draw.number(4, 16)):
        low, high = _ends(draw, (1, 30), draw.pick([20, 90]))
        start, end = (high, low) if draw.chance(0.5) else (low, high)
        write = in_words if draw.chance(0.5) else str
        asked.append(f"{write(start)} to {write(end)}")
        said.append(f"{write(start)}, {write(start + (1 if end > start else -1))}")
    return chat("next steps", f"Count one step: {'; '.join(asked)}.", "; ".join(said))


def _ends(draw: Draw, steps: tuple[int, int], highest: int = 90) -> tuple[int, int]:
    def make() -> tuple[int, int]:
        start = draw.number(0, highest)
        return start, min(99, start + draw.number(*steps))

    return draw.until(make, lambda p: f"count {p[0]}-{p[1]}")


def _count(
    draw: Draw, task: str, steps: tuple[int, int], down_ratio: float, highest: int = 90
) -> Chat:
    low, high = _ends(draw, steps, highest)
    values = list(range(low, high + 1))
    if draw.chance(down_ratio):
        values.reverse()
    words = draw.chance(0.6)
    ends = [in_words(n) if words else str(n) for n in (values[0], values[-1])]
    ask = draw.pick(["Count from {} to {}.", "Please count from {} to {}."])
    said = [in_words(n) if words else str(n) for n in values]
    return chat(task, ask.format(*ends), ", ".join(said))

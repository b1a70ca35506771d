"""When nobody listened: stretches of refusals, not single ones, slow connections or errors."""

from __future__ import annotations

import pytest

from harness.analysis.absence import Absence, absence_of

REFUSED = {"error": "connect", "error_detail": "cannot connect: Connection refused"}
SLOW = {"error": "connect", "error_detail": "no connection within 10 s"}
SHED = {"error": "http_5xx", "error_detail": "status 503"}
BROKEN = {"error": "truncated"}


def seen(rows, text, **phases):
    """One letter a request, in order of intended send: a answered, r refused, t connection too
    slow, s shed, b broken off, c cut, d no address, u unfit. Rows arrive in another order."""
    kinds = {"a": {}, "r": REFUSED, "t": SLOW, "s": SHED, "b": BROKEN, "c": {"error": "cut"},
             "d": {"error": "dns"}, "u": {"error": "invalid_output"}}  # fmt: skip
    table = [
        rows.row(0.1 * k, phase=phases.get("phases", "m" * len(text))[k], **kinds[letter])
        for k, letter in enumerate(text)
    ]
    names = {"w": "warmup", "m": "measured", "c": "cooldown"}
    for row in table:
        row["phase"] = names[row["phase"]]
    return absence_of(rows.requests(table[::-1]))


@pytest.mark.parametrize(
    ("text", "num_refused", "ends_silent"),
    [
        ("aaaaaaaa", 0, False),
        ("aaarrraa", 3, False),  # restarted
        ("aabrrrrr", 5, True),  # died
        ("aaarraaa", 0, False),  # two: one replica of several, or chance
        ("arararar", 0, True),  # never three in a row; the last one was refused
        ("aarrcrraa", 4, False),  # what the end of the run cut says nothing
        ("aatttttt", 0, True),  # overloaded, or gone: asking it tells
        ("aassssss", 0, True),
        ("assasaas", 0, False),
        ("aaaadddd", 4, True),
        ("rrrrrrrr", 8, True),
        ("aaaaaabb", 0, False),
        ("aaaaabbb", 0, True),
        ("aaassuss", 0, False),  # unfit is an answer
        ("ss", 0, True),
        ("cccc", 0, False),
        ("", 0, False),
    ],
)
def test_a_stretch_of_refusals_is_an_absence(rows, text, num_refused, ends_silent):
    assert seen(rows, text) == Absence(num_refused, ends_silent)


def test_only_measured_requests_are_evidence_that_is_lost(rows):
    """A stretch may begin in the warm-up or run into the cool-down: it is one all the same."""
    assert seen(rows, "rraaaa", phases="wwmmmm") == Absence(0, False)
    assert seen(rows, "rrraaa", phases="wwwmmm") == Absence(0, False)
    assert seen(rows, "rrraaa", phases="wwmmmm") == Absence(1, False)
    assert seen(rows, "aaarrr", phases="mmmmcc") == Absence(1, True)
    assert seen(rows, "aaarrr", phases="mmmccc") == Absence(0, True)

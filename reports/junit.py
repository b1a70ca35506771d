"""View -> JUnit XML: one suite a scenario, one case a rule, and one for the run where no rule says
how it ended.

fail is a `failure`, inconclusive is `skipped` with its reason, invalid is an `error`: a CI system
then shows the four outcomes apart without knowing us.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from harness.estimate import Outcome
from reports.view import View

RUN = "run"  # the case of the run as a whole
_TAGS = {Outcome.FAIL: "failure", Outcome.INCONCLUSIVE: "skipped", Outcome.INVALID: "error"}
# XML 1.0 has no way to write these, not even escaped.
_ILLEGAL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(view: View) -> str:
    """A `testsuites` document with properties run id, commit and report path."""
    judged = [v.outcome for v in view.verdicts]
    own = _own_outcome(view, judged)
    judged += [own] if own else []
    counts = {
        "tests": len(judged),
        "failures": judged.count(Outcome.FAIL),
        "errors": judged.count(Outcome.INVALID),
        "skipped": judged.count(Outcome.INCONCLUSIVE),
    }
    shape = {k: str(v) for k, v in counts.items()} | {"time": f"{view.duration_s:.3f}"}
    root = Element("testsuites", shape)
    suite = SubElement(root, "testsuite", {"name": _legal(view.scenario), **shape})
    properties = SubElement(suite, "properties")
    for name, value in (
        ("run_id", view.run_id), ("commit", view.commit), ("report", "report.html"),
        ("outcome", view.outcome), ("status", view.status),
    ):  # fmt: skip
        SubElement(properties, "property", {"name": name, "value": _legal(value)})
    for verdict in view.verdicts:
        _case(suite, verdict.rule, verdict.point, verdict.outcome, verdict.reason, view.scenario)
    if own:
        said = " ".join(s.text for s in view.sentences) or f"the run is {view.label}"
        _case(suite, RUN, "", own, said, view.scenario)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _own_outcome(view: View, judged: list[Outcome]) -> Outcome | None:
    """The run's outcome where no rule's case shows it: a run that was cut short, or is invalid and
    has no rules, must not look like one in which everything passed."""
    outcome = Outcome(view.outcome) if view.outcome else Outcome.PASS
    return outcome if outcome in _TAGS and outcome not in judged else None


def _case(
    suite: Element, rule: str, point: str, outcome: Outcome, reason: str, scenario: str
) -> None:
    group = f"{scenario}.{point}" if point else scenario
    case = SubElement(
        suite, "testcase", {"name": _legal(rule), "classname": _legal(group), "time": "0"}
    )
    if outcome in _TAGS:
        SubElement(case, _TAGS[outcome], {"message": _legal(reason)})
    else:
        SubElement(case, "system-out").text = _legal(reason)


def _legal(text: str) -> str:
    return _ILLEGAL.sub("�", text)

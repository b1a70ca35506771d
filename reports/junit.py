"""View -> JUnit XML: one suite a scenario, one case a rule.

fail is a `failure`, inconclusive is `skipped` with its reason, invalid is an `error`: a CI system
then shows the four outcomes apart without knowing us.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from harness.estimate import Outcome, Verdict
from reports.view import View

_TAGS = {Outcome.FAIL: "failure", Outcome.INCONCLUSIVE: "skipped", Outcome.INVALID: "error"}
# XML 1.0 has no way to write these, not even escaped.
_ILLEGAL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(view: View) -> str:
    """A `testsuites` document with properties run id, commit and report path."""
    judged = [v.outcome for v in view.verdicts]
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
        _case(suite, verdict, view.scenario)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _case(suite: Element, verdict: Verdict, scenario: str) -> None:
    group = f"{scenario}.{verdict.point}" if verdict.point else scenario
    case = SubElement(
        suite, "testcase", {"name": _legal(verdict.rule), "classname": _legal(group), "time": "0"}
    )
    if verdict.outcome in _TAGS:
        SubElement(case, _TAGS[verdict.outcome], {"message": _legal(verdict.reason)})
    else:
        SubElement(case, "system-out").text = _legal(verdict.reason)


def _legal(text: str) -> str:
    return _ILLEGAL.sub("�", text)

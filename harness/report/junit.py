# SPDX-License-Identifier: GPL-2.0
"""Keeps reports, and other results, as JSON, and reports as JUnit XML for tools that read it."""

import json
import re
from dataclasses import asdict
from xml.etree import ElementTree

from harness import paths
from harness.report.ktap import Case, Suite
from harness.report.table import STATUSES


def keep(name, result):
    """Keep a result as JSON; the file."""
    path = paths.report_dir() / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


def write(report):
    """Keep a report as JSON and as JUnit XML."""
    path = keep(report.lane, {**asdict(report), **{status: report.count(status) for status in STATUSES}})
    root = ElementTree.Element("testsuites", name=report.lane)
    lane = Suite("lane", cases=[Case("lane", printable(why), "failed") for why in report.troubles()])
    for suite in [*report.suites, *([lane] if lane.cases else [])]:
        count = {status: str(sum(case.status == status for case in suite.cases)) for status in STATUSES}
        node = ElementTree.SubElement(root, "testsuite", name=suite.name, tests=str(len(suite.cases)),
                                      failures=count["failed"], skipped=count["skipped"])
        for case in suite.cases:
            item = ElementTree.SubElement(node, "testcase", name=case.name, classname=f"{report.lane}.{suite.name}")
            if case.status == "skipped":
                ElementTree.SubElement(item, "skipped", message=printable(case.reason))
            elif case.status == "failed":
                ElementTree.SubElement(item, "failure").text = printable("\n".join(case.problems))
    ElementTree.ElementTree(root).write(path.with_suffix(".xml"), encoding="utf-8", xml_declaration=True)


def printable(text):
    """Without the control characters that XML does not allow and a console may contain."""
    return re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "?", text)

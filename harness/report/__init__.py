# SPDX-License-Identifier: GPL-2.0
"""Reports of guests: read (ktap), judged (verdict), shown (table) and kept (junit)."""

from harness.report.junit import write
from harness.report.ktap import END, STAMP, TROUBLE, Case, Report, Suite, parse
from harness.report.table import finish, summary, table
from harness.report.verdict import guest, judge

__all__ = ["Case", "END", "Report", "STAMP", "Suite", "TROUBLE", "finish", "guest", "judge", "parse", "summary",
           "table", "write"]

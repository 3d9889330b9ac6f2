"""All files of a report, written beside each other."""

from __future__ import annotations

from pathlib import Path

from aebert.reporting.documents import SUMMARY, write_front_csv, write_summary_json
from aebert.reporting.page import write_front_html
from aebert.reporting.plot import write_front_png
from aebert.reporting.report import Report


def write_report(report: Report, folder: Path, *, summary: bool) -> dict[str, Path]:
    """Write the front as CSV, PNG and HTML, and with `summary` the whole report as JSON; the paths by kind."""
    paths = {kind: folder / f"front.{kind}" for kind in ("csv", "png", "html")}
    write_front_csv(report, paths["csv"])
    write_front_png(report, paths["png"])
    write_front_html(report, paths["html"])
    if summary:
        paths["json"] = folder / SUMMARY
        write_summary_json(report, paths["json"])
    return paths

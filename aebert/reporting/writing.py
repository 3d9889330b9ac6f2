"""All files of a report, written beside each other."""

from __future__ import annotations

from pathlib import Path

from aebert.reporting.documents import SUMMARY, write_front_csv, write_summary_json
from aebert.reporting.files_plot import files_figure
from aebert.reporting.page import write_front_html
from aebert.reporting.pictures import write_pictures
from aebert.reporting.plot import front_figure
from aebert.reporting.report import Report
from aebert.reporting.shipping import files_of


def write_report(report: Report, folder: Path, *, summary: bool) -> dict[str, Path]:
    """Write the front as CSV and pictures, the files that ship as pictures, the page, and with `summary` the summary.

    Returns: the paths by name, as `front.csv`.
    """
    paths = [folder / "front.csv", folder / "front.html"]
    write_front_csv(report, paths[0])
    write_front_html(report, paths[1])
    name = report.info.name
    paths += write_pictures(front_figure(report), folder / "front", f"Pareto front of {name}")
    if files_of(report):
        paths += write_pictures(files_figure(report), folder / "files", f"Files of {name}")
    if summary:
        write_summary_json(report, folder / SUMMARY)
        paths.append(folder / SUMMARY)
    return {path.name: path for path in paths}

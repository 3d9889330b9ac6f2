from __future__ import annotations

import io
from dataclasses import replace

from rich.console import RenderableType

from aebert.deployment.exported import ExportedForms, KeptGraphs
from aebert.reporting.overview import model_tables, search_tables, studies_table
from aebert.reporting.printing import print_tables
from aebert.reporting.report import Report
from aebert.reporting.rows import ClassRow
from aebert.reporting.tables import Table


def _printed(shown: Table | RenderableType) -> str:
    stream = io.StringIO()
    print_tables(shown, file=stream)
    return stream.getvalue()


def test_studies_show_progress_and_the_best_of_each_budget(report: Report, trials_only: Report) -> None:
    empty = Report(replace(report.info, name="empty", trials=40), ())
    lines = _printed(studies_table([trials_only, empty])).splitlines()
    toy, none = (line for line in lines if line.startswith((" toy", " empty")))
    assert toy.split() == [*"toy sst2 tiny tpe 6/6 accuracy 75.0".split(), *"62.5 at 50 %, 37.5 at 75 %".split()]
    assert none.split() == "empty sst2 tiny tpe 0/40 accuracy –".split()


def test_the_tables_of_a_report_come_in_the_order_of_the_run(report: Report, trials_only: Report) -> None:
    assert [table.title for table in search_tables(report)] == [
        "Pareto front of toy",
        "What the search found in toy",
        "What the search won in toy",
    ]
    classes = tuple(
        ClassRow(name=name, kind="float32", label=label, precision=0.5, recall=0.5, f1=0.5, support=1)
        for name in ("dense", "trial-2")
        for label in "abc"
    )
    forms = {"dense": ExportedForms(parity={}, fusion=None, kept=KeptGraphs("plain"))}
    formed = replace(report, forms=forms, classes=classes)
    assert [table.title for table in model_tables(formed)] == [
        "Finalists of toy",
        "Classes of toy",
        "Quantized forms",
        "Profiles of toy",
    ]
    assert model_tables(trials_only) == []
    assert [len(model_tables(formed, most_classes=most)[1].rows) for most in (None, 2)] == [3, 2]

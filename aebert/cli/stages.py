"""Commands that do the stages of a run."""

from __future__ import annotations

import typer

from aebert.cli.app import Config, Model, Name, Set, Trials, app, print_report, print_search, started


@app.command()
def run(config: Config, sets: Set = None, model: Model = None, trials: Trials = None, name: Name = None) -> None:
    """Do all stages: dense, search, finalists, export, profile, report. Finished ones are skipped."""
    with started(config, sets, model=model, trials=trials, name=name) as work:
        from aebert.run.report import report

        finished = report(work)
        print_report(finished)
        typer.echo(f"\nEverything is in {work.run.folder}; open {work.run.folder / 'front.html'} in a browser.")


@app.command()
def dense(config: Config, sets: Set = None, model: Model = None) -> None:
    """Load the dense model; fine-tune it when the checkpoint has no output layer for the task."""
    with started(config, sets, model=model) as work:
        from aebert.models.evaluation import evaluate

        metrics = evaluate(work.dense.model, work.rows("search")).metrics
        shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in metrics.items())
        typer.echo(f"{work.run.folder / 'dense'}: {shown} on {len(work.run.task.rows['search'])} search rows")


@app.command()
def library(config: Config, sets: Set = None) -> None:
    """Build what sub-networks are made of: every block at every width, repaired (or the scores of pruning.method)."""
    with started(config, sets) as work:
        _ = work.pruner
        folder = work.run.folder / "library"
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e6
        what = f"{folder}: {size:.0f} MB of repaired blocks" if size else f"{work.run.config.pruning.method}: ready"
        typer.echo(what)


@app.command()
def search(config: Config, sets: Set = None, trials: Trials = None, name: Name = None) -> None:
    """Run the study up to its total number of trials, or go on with it."""
    with started(config, sets, trials=trials, name=name) as work:
        from aebert.reporting.report import Report

        records, verdicts = work.study
        print_search(Report(work.setup.info, tuple(records), verdicts=tuple(verdicts)))


@app.command()
def finalists(config: Config, sets: Set = None) -> None:
    """Fine-tune the best candidates and rank them on the select rows."""
    with started(config, sets) as work:
        metric = work.run.task.spec.headline
        for finalist in work.finalists:
            score = 100 * finalist.select_metrics[metric]
            typer.echo(f"{finalist.folder}: {metric} {score:.1f} on {len(work.run.task.rows['select'])} select rows")


@app.command()
def export(config: Config, sets: Set = None) -> None:
    """Write the dense model and the finalists as ONNX files (and FlatBuffers, if asked for), and check their parity."""
    with started(config, sets) as work:
        from aebert.reporting.printing import forms_table, print_table

        for path in (*work.export.files.values(), *work.flatbuffers.files.values()):
            typer.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
        print_table(forms_table(work.export.forms, work.run.task.spec.headline))

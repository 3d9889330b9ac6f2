"""The commands that run the stages of a run."""

from __future__ import annotations

from aebert.cli.app import (
    Config,
    Model,
    Name,
    Set,
    Trials,
    Trust,
    Workers,
    app,
    echo,
    pipeline_of,
    print_answer,
    print_search,
    started,
)


@app.command()
def check(config: Config, sets: Set = None, model: Model = None, trust: Trust = False) -> None:
    """Show how model and data are understood, and what a run would take.

    It is what a run does first. Nothing is written.
    """
    from aebert.reporting.checked import checked_lines

    for line in checked_lines(pipeline_of(config, sets, model=model, trust=trust).inspect()):
        echo(line)


@app.command()
def run(
    config: Config,
    sets: Set = None,
    model: Model = None,
    trials: Trials = None,
    workers: Workers = None,
    name: Name = None,
    trust: Trust = False,
) -> None:
    """Do every stage that is not finished yet, and say which file to ship.

    The stages: check, dense, library, search, finalists, export, profile, bundles.
    """
    with started(config, sets, model=model, trials=trials, workers=workers, name=name, trust=trust) as work:
        from aebert.run.report import report

        print_answer(report(work), work.run.folder)


@app.command()
def dense(config: Config, sets: Set = None, model: Model = None, trust: Trust = False) -> None:
    """Load the dense model, and fine-tune it where it needs that.

    A checkpoint without an output layer for the task needs it; dense.train decides otherwise.
    """
    with started(config, sets, model=model, trust=trust) as work:
        from aebert.models.evaluation import evaluate

        metrics = evaluate(work.dense.model, work.rows("search")).metrics
        shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in metrics.items())
        echo(f"{work.run.folder / 'dense'}: {shown} on {len(work.run.task.rows['search'])} search rows")


@app.command()
def library(config: Config, sets: Set = None, trust: Trust = False) -> None:
    """Build the repaired blocks that sub-networks are made of.

    The library holds every block at every width; another pruning.method computes its scores instead.
    """
    with started(config, sets, trust=trust) as work:
        _ = work.pruner
        folder = work.run.folder / "library"
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e6
        what = f"{folder}: {size:.0f} MB of repaired blocks" if size else f"{work.run.config.pruning.method}: ready"
        echo(what)


@app.command()
def search(
    config: Config,
    sets: Set = None,
    trials: Trials = None,
    workers: Workers = None,
    name: Name = None,
    trust: Trust = False,
) -> None:
    """Run the study, or go on with it.

    search.trials is the total number of trials.
    """
    with started(config, sets, trials=trials, workers=workers, name=name, trust=trust) as work:
        from aebert.reporting.report import Report

        records, verdicts = work.study
        print_search(Report(work.setup.info, tuple(records), verdicts=tuple(verdicts)))


@app.command()
def finalists(config: Config, sets: Set = None, trust: Trust = False) -> None:
    """Fine-tune the best candidates, and rank them by the select rows.

    The baselines of finalists.baselines are fine-tuned after them.
    """
    with started(config, sets, trust=trust) as work:
        metric, rows = work.run.task.spec.headline, len(work.run.task.rows["select"])
        tuned = [(one.folder, one.select_metrics) for one in work.finalists]
        tuned += [(one.folder, one.select_metrics) for one in work.baselines]
        for folder, metrics in tuned:
            echo(f"{folder}: {metric} {100 * metrics[metric]:.1f} on {rows} select rows")


@app.command()
def export(config: Config, sets: Set = None, trust: Trust = False) -> None:
    """Write the ONNX files, and check them against the models.

    Files are written for the dense model, the finalists and their baselines; deploy.litert adds FlatBuffers.
    """
    with started(config, sets, trust=trust) as work:
        from aebert.reporting.forms import forms_table
        from aebert.reporting.printing import print_tables

        for path in (*work.export.files.values(), *work.flatbuffers.files.values()):
            echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
        print_tables(forms_table(work.export.forms, work.run.task.spec.headline))

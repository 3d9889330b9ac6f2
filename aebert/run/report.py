"""The end of a run: its report, with the files that are written beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aebert import __version__
from aebert.pruning.architecture import Architecture
from aebert.reporting.report import Report
from aebert.reporting.rows import ClassRow, FileDifference, FinalistRow, LengthRow, ProfileRow
from aebert.reporting.writing import write_report
from aebert.run.baselines import Baseline
from aebert.run.bundles import bundles
from aebert.run.choice import mark_chosen
from aebert.run.embedding_scores import embedding_rows
from aebert.run.export import INT8
from aebert.run.finalists import Finalist, select_outcomes
from aebert.run.pipeline import Pipeline
from aebert.run.scores import compare_files
from aebert.run.stage import recorded_seconds
from aebert.search.connections import without_password
from aebert.search.difference import CONFIDENCE
from aebert.search.judge import Judge
from aebert.search.kinds import KINDS
from aebert.search.outcomes import Outcomes
from aebert.sections import digest as values_digest
from aebert.sections import plain
from aebert.studies.folder import DENSE, stored_text
from aebert.tasks.task import ROLES


def report(pipeline: Pipeline) -> Report:
    """The report of a run, written into its folder with the bundles; stages that are not done yet are done now."""
    finished = build_report(pipeline)
    write_report(finished, pipeline.run.folder, summary=True)
    bundles(pipeline)
    return finished


def build_report(pipeline: Pipeline) -> Report:
    """The report of a run; stages that are not done yet are done now."""
    run, (trials, verdicts) = pipeline.run, pipeline.study
    return Report(
        info=pipeline.setup.info,
        trials=tuple(trials),
        finalists=tuple(_finalist_rows(pipeline)),
        profiles=(*_profile_rows(pipeline), *pipeline.flatbuffers.rows()),
        machine=_machine(pipeline.profiles),
        provenance=_provenance(pipeline),
        rows={role: len(run.task.rows[role]) for role in ROLES},
        verdicts=tuple(verdicts),
        forms=pipeline.export.forms,
        checked=pipeline.checked,
        classes=tuple(_class_rows(pipeline)),
        differences=tuple(_differences(pipeline)),
        seconds=_seconds(pipeline),
        config=stored_text(run.folder),
        embeddings=tuple(embedding_rows({_model_and_kind(file): found for file, found in pipeline.scores.items()})),
    )


def _finalist_rows(pipeline: Pipeline) -> list[FinalistRow]:
    rows = [_finalist_row(finalist, pipeline) for finalist in pipeline.finalists]
    finalists = {finalist.name: finalist for finalist in pipeline.finalists}

    def outcomes(name: str) -> Outcomes:
        return select_outcomes(pipeline.run, pipeline.dense.tokenizer, finalists[name])

    chosen = mark_chosen(rows, Judge(pipeline.run.task.spec), outcomes)
    return [_dense_row(pipeline), *chosen, *(_baseline_row(one, pipeline) for one in pipeline.baselines)]


def _finalist_row(finalist: Finalist, pipeline: Pipeline) -> FinalistRow:
    trial, metric = finalist.trial, pipeline.run.task.spec.headline
    return FinalistRow(
        name=finalist.name,
        trial=trial.number,
        architecture=trial.architecture,
        budget=finalist.budget,
        sparsity=trial.sparsity,
        macs_removed=trial.macs_removed,
        params=trial.params,
        search_score=trial.metrics[metric],
        select_score=finalist.select_metrics[metric],
        repair=finalist.repair,
        steps=pipeline.run.config.finalists.gradual + 1,
        baseline=next((one.name for one in pipeline.baselines if finalist.name in one.finalists), None),
        predicted_ms=trial.cost if KINDS[pipeline.setup.info.budget_kind].is_priced else None,
        measured_ms=pipeline.confirmed.get(finalist.name, {}).get("median_ms"),
        **_reported(pipeline.scores, finalist.name),
    )


def _baseline_row(baseline: Baseline, pipeline: Pipeline) -> FinalistRow:
    cut = baseline.cut
    return FinalistRow(
        name=baseline.name,
        trial=None,
        architecture=cut.architecture,
        budget=baseline.budget,
        sparsity=cut.sparsity,
        macs_removed=cut.macs_removed,
        params=cut.params,
        search_score=None,
        select_score=baseline.select_metrics[pipeline.run.task.spec.headline],
        layers=cut.layers,
        cost=cut.cost,
        guess=baseline.guess,
        predicted_ms=cut.cost if KINDS[pipeline.setup.info.budget_kind].is_priced else None,
        measured_ms=pipeline.confirmed.get(baseline.name, {}).get("median_ms"),
        **_reported(pipeline.scores, baseline.name),
    )


def _dense_row(pipeline: Pipeline) -> FinalistRow:
    trial = next(record for record in pipeline.trials if record.origin == "dense")
    metric = pipeline.run.task.spec.headline
    return FinalistRow(
        name=DENSE,
        trial=None,
        architecture=Architecture.dense(pipeline.setup.shape),
        budget=None,
        sparsity=0.0,
        macs_removed=0.0,
        params=trial.params,
        search_score=trial.metrics[metric],
        select_score=pipeline.dense_select_metrics[metric],
        **_reported(pipeline.scores, DENSE),
    )


def _reported(scores: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Metrics of a model's files on the report rows, as fields of its row."""
    values = {}
    for kind, prefix in (("", "report"), (INT8, "int8_report")):
        found = scores.get(name + kind)
        if found is not None:
            values[f"{prefix}_metrics"] = found["metrics"]
            values[f"{prefix}_interval"] = tuple(found["interval"]) if found["interval"] else None
    return values


def _profile_rows(pipeline: Pipeline) -> list[ProfileRow]:
    metric = pipeline.run.task.spec.headline
    return [
        _profile_row(measured, pipeline.scores[measured["name"]]["metrics"][metric])
        for measured in pipeline.profiles["profiles"]
    ]


def _profile_row(measured: Mapping[str, Any], score: float) -> ProfileRow:
    name, kind = _model_and_kind(measured["name"])
    speedup = {} if measured["name"] == DENSE else measured["speedup"]  # others are compared with it
    return ProfileRow(
        name=name,
        kind=kind,
        size_bytes=measured["size_bytes"],
        p50_ms=measured["p50_ms"],
        p90_ms=measured["p90_ms"],
        p99_ms=measured["p99_ms"],
        throughput_per_s=measured["throughput_per_s"],
        peak_memory_bytes=measured["peak_memory_bytes"],
        speedup=speedup.get("median"),
        speedup_low=speedup.get("p10"),
        speedup_high=speedup.get("p90"),
        report_score=score,
        by_length=tuple(LengthRow(**one) for one in measured.get("by_length", ())),  # records of before lack it
    )


def _class_rows(pipeline: Pipeline) -> list[ClassRow]:
    files = {_model_and_kind(name): found for name, found in pipeline.scores.items()}
    files |= {(form.model, form.title): found for form, found in pipeline.flatbuffers.reported.items()}
    return [
        ClassRow(name, kind, label, **scores)
        for (name, kind), found in files.items()
        for label, scores in found["classes"].items()
    ]


def _model_and_kind(file: str) -> tuple[str, str]:
    """What `ProfileRow` calls the model and the kind of an ONNX file."""
    return file.removesuffix(INT8), "int8" if file.endswith(INT8) else "float32"


def _differences(pipeline: Pipeline) -> Iterator[FileDifference]:
    for names, found in compare_files(pipeline.run, pipeline.scores).items():
        file, than = (" ".join(_model_and_kind(name)) for name in names)
        yield FileDifference(file, than, found.value, found.low(CONFIDENCE), found.high(CONFIDENCE))


def _shown(argument: str) -> str:
    """An argument of the command line as a report may show it: without the password of a database."""
    key, equals, value = argument.partition("=")
    return f"{key}={without_password(value)}" if equals and key.endswith("search.storage") else argument


def _machine(measured: Mapping[str, Any]) -> dict[str, Any]:
    first = measured["profiles"][0]
    facts = {key: first[key] for key in ("threads", "batch_size", "runs", "warmup", "lengths")}
    return {**measured["machine"], **facts, "all_runs_quiet": all(p["quiet"] for p in measured["profiles"])}


def _seconds(pipeline: Pipeline) -> dict[str, float]:
    """Seconds of every stage that is recorded in the run's folder, and of the search, which is none."""
    stages = recorded_seconds(pipeline.run.folder)
    return {**stages, "search": sum(record.seconds for record in pipeline.trials)}


def _provenance(pipeline: Pipeline) -> dict[str, Any]:
    config = pipeline.run.config
    seconds: Mapping[str, float] = {
        DENSE: pipeline.dense.seconds,
        "search": sum(record.seconds for record in pipeline.trials),
        **{finalist.name: finalist.seconds for finalist in pipeline.finalists},
        **{baseline.name: baseline.seconds for baseline in pipeline.baselines},
    }
    return {
        "aebert": __version__,
        "config": values_digest(plain(config)),
        "seed": config.seed,
        "data": dict(pipeline.run.task.digests),
        "dense_weights": pipeline.dense.digest,
        "command": " ".join([Path(sys.argv[0]).name, *map(_shown, sys.argv[1:])]),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
    }

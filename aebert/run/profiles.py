"""What the files of a run cost to run here, all measured in turns; and whether a latency budget is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from aebert.digests import file_digest
from aebert.latency.measurement import measure_files
from aebert.latency.sources import PriceSource
from aebert.profiling.machine import machine_facts
from aebert.profiling.profiles import profile_files
from aebert.run.prices import workload_of
from aebert.run.requests import requests_of
from aebert.run.run import Run
from aebert.sections import plain

_CONFIRMING_RUNS = 101  # requests that a latency budget is confirmed with


def measure_in_turns(
    run: Run, tokenizer: PreTrainedTokenizerBase, stage: str, files: Mapping[str, Path], length: int | None = None
) -> dict[str, Any]:
    """Profiles of files, in one interleaved run on the report rows, and the machine; as a stage of that name.

    length: most tokens of a row; by default as in training.
    """
    config, rows = run.config.profile, run.task.rows["report"]
    inputs = {
        "files": {name: file_digest(path) for name, path in files.items()},
        "profile": plain(config),
        "rows": run.task.digests["report"],
        "machine": machine_facts(),
    }

    def make() -> dict[str, Any]:
        measured = profile_files(
            files,
            requests_of(run, tokenizer, rows, config.batch_size, length),
            threads=config.threads,
            warmup=config.warmup,
            runs=config.runs,
            progress=run.progress,
        )
        return {"profiles": [profile.to_dict() for profile in measured]}

    return {**run.stage(stage, inputs).run(make), "machine": inputs["machine"]}


def confirm_latency(run: Run, source: PriceSource | None, files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """What files take at the setting of a latency budget, by name.

    source: what the budget is counted with, None for other kinds of budgets. files: the ones that ship.
    Empty for other kinds of budgets, where this machine is not the device that the budget is stated for, and where that
    device is only estimated.
    """
    if source is None or not source.measured_here() or not files:
        return {}
    workload = workload_of(run.config.search.budget)
    inputs = {
        "files": {name: file_digest(path) for name, path in files.items()},
        "setting": asdict(workload),
        "machine": machine_facts(),
    }

    def make() -> dict[str, Any]:
        taken = measure_files(files, workload, runs=_CONFIRMING_RUNS, progress=run.progress)
        return {name: {"median_ms": ms, "p90_ms": taken.p90_ms[name]} for name, ms in taken.median_ms.items()}

    result = run.stage("confirm", inputs).run(make)
    return {name: result[name] for name in files}

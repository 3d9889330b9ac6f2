"""Measure files as a job describes. The same code runs here and on boards, so that figures mean the same.

`python -m aebert.compare.runner JOB.json` prints one JSON object per line: progress, then the result or an error.
Needs NumPy and ONNX Runtime only, from Python 3.9 on (`archive.py` packs it with what it imports for boards).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from aebert.deployment.session import Feed, open_session
from aebert.errors import AebertError, ExportError
from aebert.profiling.machine import machine_facts
from aebert.profiling.memory import footprint
from aebert.profiling.sampling import BlindMeter, Samples, interleave, machine_meter
from aebert.profiling.sensors import Watch, open_rapl
from aebert.progress import Bar

Answer = Callable[[Feed], object]
Opener = Callable[[Path, int], Answer]
Say = Callable[[Mapping[str, Any]], None]

_REQUESTS = 16  # with different token ids; more would only take memory
_ALIVE: Mapping[str, Any] = {}  # a line that only says that work goes on, since whoever waits gives up on silence
_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}


def open_onnx(path: Path, threads: int) -> Answer:
    """A function that answers requests with all outputs of an ONNX file.

    Raises: ExportError when the file is missing, damaged or takes inputs that no encoder has.
    """
    session = open_session(path, threads)
    inputs = {node.name: _input_type(path, node) for node in session.get_inputs()}

    def answer(request: Feed) -> object:
        feed = {name: np.asarray(request[name], dtype=kind) for name, kind in inputs.items()}
        try:
            return session.run(None, feed)
        except Exception as error:  # ONNX Runtime's errors have no common base class
            raise ExportError(_cannot_run(path.name, request, error)) from None

    return answer


def _input_type(path: Path, node: onnxruntime.NodeArg) -> Any:
    known = make_request(1, 1, 1, 0)
    if node.name not in known or node.type not in _TYPES:
        raise ExportError(
            f"{path.name} must take {', '.join(known)} of type int64 or int32 only, it takes {node.name} {node.type}"
        )
    return _TYPES[node.type]


def _cannot_run(name: str, request: Feed, error: Exception) -> str:
    batch, length = request["input_ids"].shape
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return f"{name} can't run on {batch} × {length} tokens: {reason} (choose other --lengths or --batches)"


def make_request(vocabulary: int, batch: int, length: int, seed: int) -> dict[str, NDArray[np.integer]]:
    """Random token ids below `vocabulary`, without padding; every input that an encoder may have, `[batch, length]`."""
    ids = np.random.default_rng(seed).integers(0, vocabulary, (batch, length), dtype=np.int64)
    return {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids),
        "position_ids": np.broadcast_to(np.arange(length, dtype=np.int64), ids.shape),
    }


def measure(job: Mapping[str, Any], openers: Mapping[str, Opener], say: Say) -> None:
    """Measure all targets of a job over threads × batches × lengths; `say` gets the lines that `main` prints.

    job: targets (name, kind, path, files, and the module that `python -m` runs to measure its memory), lengths,
    batches, threads, runs, warmup, vocabulary, job (the path of the job's own file).
    """
    watch, (gauge, energy), meter = Watch(), open_rapl(), machine_meter()
    footprints = []
    for index, target in enumerate(job["targets"]):
        say({"stage": f"load {target['name']}"})
        footprints.append(_footprint_apart(job, index))
    cells = []
    for threads in job["threads"]:
        models = _open_all(job, threads, openers, say)
        for batch, length in _shapes(job):
            requests = [make_request(job["vocabulary"], batch, length, seed) for seed in range(_REQUESTS)]
            _warm_up(models, requests, job["warmup"], say)
            samples = interleave(
                models,
                requests,
                [run % _REQUESTS for run in range(job["runs"])],
                meter=meter,
                gauge=gauge,
                look=lambda: _look(watch, say),
                progress=_Lines(say),
            )
            cells.append(_cell(threads, batch, length, samples))
    others = "not watched" if isinstance(meter, BlindMeter) else "watched"
    result = {
        "machine": machine_facts(),
        "conditions": {**watch.facts(), "energy": energy, "load of others": others},
        "warnings": watch.warnings(),
        "footprints": footprints,
        "cells": cells,
    }
    say({"result": result})


def _open_all(job: Mapping[str, Any], threads: int, openers: Mapping[str, Opener], say: Say) -> dict[str, Answer]:
    """Open all models and run each on the largest request, so that one that can't run fails before any is timed."""
    models = {}
    batch, length = max(_shapes(job), key=lambda shape: shape[0] * shape[1])
    request = make_request(job["vocabulary"], batch, length, 0)
    for target in job["targets"]:
        say({"stage": f"run {target['name']} on {batch} × {length} tokens with {threads} thread(s)"})
        model = openers[target["kind"]](Path(target["path"]), threads)
        model(request)
        models[target["name"]] = model
    return models


def _warm_up(models: Mapping[str, Answer], requests: Sequence[Feed], runs: int, say: Say) -> None:
    for run in range(runs):
        for model in models.values():
            model(requests[run % _REQUESTS])
            say(_ALIVE)


def _look(watch: Watch, say: Say) -> None:
    watch.look()
    say(_ALIVE)  # also when the runs of the window will be taken again


def _shapes(job: Mapping[str, Any]) -> list[tuple[int, int]]:
    return list(product(job["batches"], job["lengths"]))


def _cell(threads: int, batch: int, length: int, samples: Samples) -> dict[str, Any]:
    return {
        "threads": threads,
        "batch_size": batch,
        "length": length,
        "rejected": samples.rejected,
        "noisy": samples.noisy,
        "milliseconds": samples.milliseconds,
        "joules": samples.joules,
    }


class _Lines:
    """Progress as lines of JSON."""

    def __init__(self, say: Say) -> None:
        self._say = say

    @contextmanager
    def bar(self, title: str, total: float | None) -> Iterator[Bar]:
        yield self

    def advance(self, steps: float = 1, note: str = "") -> None:
        self._say({"advance": steps})

    def say(self, line: str) -> None:
        self._say({"stage": line})


def _footprint_apart(job: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Memory and load time of one target, measured in a process that does nothing else."""
    command = [sys.executable, "-m", job["targets"][index]["module"], job["job"], str(index)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise ExportError(f"{job['targets'][index]['name']} can't be loaded: {reason}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _footprint(job: Mapping[str, Any], index: int, opener: Opener) -> dict[str, Any]:
    target = job["targets"][index]
    request = make_request(job["vocabulary"], max(job["batches"]), max(job["lengths"]), 0)

    def load() -> Callable[[], object]:
        model = opener(Path(target["path"]), max(job["threads"]))
        return lambda: model(request)

    return asdict(footprint([Path(file) for file in target["files"]], load))


def main(arguments: Sequence[str], openers: Mapping[str, Opener]) -> int:
    """Run a job: `JOB.json` measures everything, `JOB.json INDEX` prints the footprint of one target."""
    path, *index = arguments
    job = {**json.loads(Path(path).read_text(encoding="utf-8")), "job": path}
    try:
        if index:
            found = _footprint(job, int(index[0]), openers[job["targets"][int(index[0])]["kind"]])
            print(json.dumps(found))
        else:
            measure(job, openers, lambda line: print(json.dumps(line), flush=True))
    except MemoryError:
        return _fail("not enough memory", index)
    except AebertError as error:
        return _fail(str(error), index)
    return 0


def _fail(message: str, index: Sequence[str]) -> int:
    if index:
        print(message, file=sys.stderr)
    else:
        print(json.dumps({"error": message}), flush=True)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], {"onnx": open_onnx}))

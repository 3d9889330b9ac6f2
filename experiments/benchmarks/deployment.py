"""How fast each form of a BERT is, dense and pruned, in one interleaved run: torch, ONNX Runtime plain, fused and int8.

Weights are random; sub-networks have random uneven heads and widths on the aligned grid. Files that are made stay in
`--work` and are not made again. What is not installed here is named as absent.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import TASKS, Spread, make_parser, random_architectures, table, write_result
from random_berts import SHAPES
from transformers import PreTrainedModel

from aebert.config import load_config
from aebert.deployment.cpu import this_cpu
from aebert.deployment.fusion import add_embeddings, fuse_onnx
from aebert.deployment.litert import export_litert, quantize_litert
from aebert.deployment.onnx_export import export_onnx
from aebert.deployment.opening import open_model
from aebert.deployment.quantize import VARIANTS, QuantizeOptions, Source, quantize
from aebert.deployment.session import Feed
from aebert.models.counting import shape_of
from aebert.profiling.profiles import speedup
from aebert.profiling.sampling import MachineMeter, Meter, Samples, interleave, spread
from aebert.pruning.criteria import Importance
from aebert.pruning.pruners import CriterionPruner
from aebert.run.pipeline import Pipeline
from aebert.search.budget import make_budget
from aebert.search.space import Grid
from aebert.terminal import quiet_libraries

NAMES = ("input_ids", "token_type_ids", "attention_mask")
LENGTH = 30
SHORTEST, LONGEST = 24, 32  # rows that count as about 30 tokens; a FlatBuffer takes the longest
TRIED = [name for name in VARIANTS if not name.endswith(("-entropy", "-percentile"))]  # which differ in score only
CALIBRATION = 16  # batches for ranges of activations; with random weights no more are needed
Run_ = Callable[[Feed], object]


@dataclass(frozen=True)
class Built:
    """A model with the folder of its files."""

    name: str
    model: PreTrainedModel
    folder: Path

    def path(self, form: str) -> Path:
        """Of a file by its form and ending."""
        return self.folder / f"{self.name}.{form}"


def build(grid: Grid, dense: PreTrainedModel, removed: Sequence[float], folder: Path) -> list[Built]:
    """The dense model, and one with each share of the encoder's MACs removed."""
    shape, generator = shape_of(dense), np.random.default_rng(0)
    importance = Importance(
        tuple(generator.random(count) for count in shape.heads), tuple(generator.random(count) for count in shape.ffn)
    )
    pruner, models = CriterionPruner(dense, importance), [Built("dense", dense, folder)]
    for share in removed:
        budget = make_budget("macs", share, LENGTH, shape, grid)
        (architecture,) = random_architectures(grid, budget, 1, seed=1)
        models.append(Built(f"pruned-{round(100 * share)}", pruner(architecture).eval(), folder))
    return models


def lengths(count: int) -> list[int]:
    """Token counts of sst2 rows of about 30 tokens where the corpora are, else all the same."""
    if not os.environ.get("AEBERT_DATA"):
        return [LENGTH] * count
    pipeline = Pipeline(load_config(TASKS / "sst2.yaml"))
    tokenizer = pipeline.start.tokenizer
    rows = pipeline.run.task.rows["select"]
    tokens = [len(tokenizer(*row.text)["input_ids"]) for row in rows]
    near = [length for length in tokens if SHORTEST <= length <= LONGEST]
    return [near[place] for place in spread(len(near), count)]


def make_requests(vocabulary: int, tokens: Sequence[int]) -> list[Feed]:
    """One row each, random ids."""
    generator = np.random.default_rng(2)
    return [
        {
            "input_ids": generator.integers(0, vocabulary, (1, length)),
            "attention_mask": np.ones((1, length), dtype=np.int64),
            "token_type_ids": np.zeros((1, length), dtype=np.int64),
        }
        for length in tokens
    ]


def files(built: Built, variants: Sequence[str], calibration: Sequence[Feed], opset: int = 20) -> dict[str, Path]:
    """ONNX files by form; those that are there are taken as they are."""
    plain, apart, fused = (built.path(f"{form}.onnx") for form in ("plain", "apart", "fused"))
    if not plain.exists():
        export_onnx(built.model, NAMES, plain, opset=opset)
    if not apart.exists():
        fusion = fuse_onnx(built.model, NAMES, apart, plain=plain, opset=opset, embeddings=False)
        print(f"{built.name}: {fusion.describe()}")
    if not fused.exists():
        add_embeddings(apart, fused)
    found = {"ONNX Runtime float32, plain": plain, "ONNX Runtime float32, fused": fused}
    source: Source | None = None
    for name in variants:
        path = found[f"ONNX Runtime {name}"] = built.path(f"{name}.onnx")
        if not path.exists():
            source = source or Source.load(apart)
            quantize(source, path, VARIANTS[name], QuantizeOptions(calibration))
    return found


def torch_way(model: Callable[..., Any]) -> Run_:
    """Eager or compiled."""

    def run(feed: Feed) -> object:
        with torch.inference_mode():
            return model(**{name: torch.from_numpy(array) for name, array in feed.items()}).logits

    return run


def openvino_way(path: Path, threads: int) -> Run_:
    """The plain float32 file."""
    import openvino

    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(str(path), "CPU", options).create_infer_request()
    return lambda feed: request.infer({name: feed[name] for name in NAMES})


def flatbuffers(built: Built) -> dict[str, Path]:
    """LiteRT files by form; those that are there are taken as they are, without the extra there are none."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        return {}
    whole, small = (built.path(f"{form}.tflite") for form in ("float32", "int8"))
    if not whole.exists():
        export_litert(built.model, NAMES, whole, length=LONGEST)
    if not small.exists():
        quantize_litert(whole, small, bits=8)
    return {"LiteRT float32": whole, "LiteRT int8": small}


Ways = dict[tuple[str, str], Run_]


def ways_of(built: Built, onnx: Mapping[str, Path], threads: int, sample: Feed, absent: dict[str, str]) -> Ways:
    """What is timed of a model, by model and form; `absent` gets what can't be, and why."""
    ways: Ways = {(built.name, "torch eager"): torch_way(built.model)}
    makers: dict[str, Callable[[], Run_]] = {
        # compiled for changing lengths, as they come; eager is not affected
        "torch.compile": lambda: torch_way(torch.compile(built.model, dynamic=True)),
        "OpenVINO float32": lambda: openvino_way(onnx["ONNX Runtime float32, plain"], threads),
    }
    for form, make in makers.items():
        try:
            way = make()
            way(sample)  # compiles
        except Exception as error:
            absent[form] = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        else:
            ways[built.name, form] = way
    for form, path in onnx.items():
        ways[built.name, form] = open_model(path, threads).logits
    return ways


def size_bytes(built: Built, form: str, onnx: Mapping[str, Path]) -> int:
    """Of the file, or of the weights in torch."""
    if form in onnx:
        return onnx[form].stat().st_size
    return sum(parameter.nbytes for parameter in built.model.parameters())


def ratios(samples: Samples, slow: str, fast: str) -> dict[str, float]:
    """How many times faster, run by run: median and the middle 80 %."""
    found = speedup(samples.milliseconds[slow], samples.milliseconds[fast])
    return {"median": found.median, "low": found.p10, "high": found.p90}


def key(model: str, form: str) -> str:
    return f"{model} / {form}"


def measure(
    models: Sequence[Built],
    onnx: Mapping[str, Mapping[str, Path]],
    requests: Sequence[Feed],
    threads: int,
    runs: int,
    meter: Meter,
) -> dict[str, Any]:
    """All forms of all models in turns at one number of threads."""
    torch.set_num_threads(threads)
    absent = {} if importlib.util.find_spec("ai_edge_litert") else {"LiteRT": "ai_edge_litert is not installed"}
    ways: Ways = {}
    for built in models:
        ways |= ways_of(built, onnx[built.name], threads, requests[0], absent)
    schedule = spread(len(requests), runs)
    named = {key(*way): run for way, run in ways.items()}
    samples = interleave(named, requests, schedule, warmup=schedule[:3], meter=meter)
    torch_dense, fused_dense = key("dense", "torch eager"), key("dense", "ONNX Runtime float32, fused")
    by_name = {built.name: built for built in models}
    rows = [
        {
            "model": name,
            "form": form,
            "size_bytes": size_bytes(by_name[name], form, onnx[name]),
            "median_ms": float(np.median(samples.milliseconds[key(name, form)])),
            "over_torch": ratios(samples, torch_dense, key(name, form)),
            "over_fused": ratios(samples, fused_dense, key(name, form)),
        }
        for name, form in ways
    ]
    return {
        "threads": threads,
        "rows": rows,
        "absent": absent,
        "runs": len(samples.schedule),
        "noisy_runs": samples.noisy,
        "retaken_runs": samples.rejected,
    }


def show(result: Mapping[str, Any]) -> None:
    """One table per number of threads."""
    print(f"\n{result['threads']} thread(s), {result['runs']} runs, {result['noisy_runs']} while others were busy")
    rows = [
        [
            f"{one['model']}, {one['form']}",
            f"{one['size_bytes'] / 1e6:.1f}",
            f"{one['median_ms']:.2f}",
            Spread(**one["over_torch"]).show(2),
            Spread(**one["over_fused"]).show(2),
        ]
        for one in result["rows"]
    ]
    print(table(["form", "MB", "median ms", "over dense torch (p10–p90)", "over dense fused (p10–p90)"], rows))
    for form, why in result["absent"].items():
        print(f"absent: {form}: {why}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add_options(parser)
    given = parser.parse_args(arguments)
    quiet_libraries()
    shape = SHAPES[given.shape]
    dense = shape.model()
    models = build(shape.grid, dense, given.removed, given.work / given.shape)
    requests = make_requests(dense.config.vocab_size, lengths(given.runs))
    made = {built.name: files(built, given.variants, requests[:CALIBRATION]) | flatbuffers(built) for built in models}
    results = []
    for threads in given.threads:
        results.append(measure(models, made, requests, threads, given.runs, MachineMeter()))
        show(results[-1])
    print(this_cpu().describe())
    tokens = [request["input_ids"].shape[1] for request in requests]
    facts = {"min": min(tokens), "median": float(np.median(tokens)), "max": max(tokens)}
    write_result(given.results, "deployment", {"shape": given.shape, "lengths": facts, "threads": results})


def add_options(parser: argparse.ArgumentParser) -> None:
    """What this script takes besides `--results`."""
    parser.add_argument("--shape", choices=sorted(SHAPES), default="bert-base")
    parser.add_argument("--removed", type=float, nargs="*", default=[0.25, 0.5], help="shares of the encoder's MACs")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=TRIED, metavar="VARIANT")
    parser.add_argument("--work", type=Path, default=Path("results/benchmarks/work"), help="folder of the files made")


if __name__ == "__main__":
    main()

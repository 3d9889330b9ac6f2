"""How fast candidates are scored without training, against the naive way and the machine's matrix products.

    python experiments/benchmarks/scoring_speed.py --results results --runs results

The same random candidates at one MACs budget are scored on the same rows (search and select rows: the whole dev set of
SST-2) in four ways, and the matrix products of the sliced candidates are timed alone; all take turns, so that a busy
machine slows all of them alike:

- naive: as published code does it. Copy the dense model, zero the weights, pad each row to 128, batches of 32.
- masks: the dense model with masks at the output projections, rows sorted by length, batches of 32, dynamic padding.
- ours: `SubnetworkScorer`, all rows.
- raced: the same with races against the best of the budget's first trials.
- ours-bf16, raced-bf16: both with matrix products in bfloat16, which is off by default; with the rank correlation of
  their scores with those in float32.
- ours-int8, raced-int8: both as int8 files compute (`search.score_in: int8`), quantizing each candidate included; with
  the same rank correlation. The rival of the race is scored in int8 too.

Encoding and batching come before, in all of them. Prints a table and writes `<results>/benchmarks/scoring_speed.json`,
with what races and shared prefixes of layers did, or would have done, in the study of the pipeline, if there is one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from common import Spread, add_runs, macs_budget, make_parser, open_run, random_architectures, table, write_result
from scipy.stats import spearmanr
from scoring_ways import (
    Result,
    Setting,
    Way,
    agreement,
    bare_products,
    masks,
    naive,
    ours,
    products,
    waste,
)
from study_facts import study_facts

from aebert.deployment.cpu import this_cpu
from aebert.models.evaluation import prepare
from aebert.models.int8 import Int8Weights
from aebert.pruning.architecture import Architecture
from aebert.run.pipeline import Pipeline
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.search.racing import LOOKS, doubts
from aebert.search.scoring import SubnetworkScorer, dense_logits


@dataclass(frozen=True)
class Times:
    """Seconds [rounds, candidates] by the wall clock and of this process's CPU time; results of the last round."""

    wall: np.ndarray
    cpu: np.ndarray
    results: Sequence[Result]


def measure(ways: Mapping[str, Way], candidates: Sequence[Architecture], rounds: int) -> dict[str, Times]:
    """Time all ways on each candidate in turn, after one untimed call of each."""
    for way in ways.values():
        way(candidates[0])
    clocks = {name: np.zeros((2, rounds, len(candidates))) for name in ways}
    results: dict[str, list[Result]] = {name: [] for name in ways}
    for turn in range(rounds):
        for place, candidate in enumerate(candidates):
            for name in _rotated(list(ways), turn + place):
                start = np.array([time.perf_counter(), time.process_time()])
                results[name].append(ways[name](candidate))
                clocks[name][:, turn, place] = np.array([time.perf_counter(), time.process_time()]) - start
    return {name: Times(clocks[name][0], clocks[name][1], results[name][-len(candidates) :]) for name in ways}


def _rotated(names: list[str], by: int) -> list[str]:
    by %= len(names)
    return names[by:] + names[:by]


def summary(times: Mapping[str, Times]) -> list[dict[str, Any]]:
    """One row per way: seconds per candidate, and how many times faster than the naive way, round by round."""
    naive_times = times["naive"]
    return [
        {
            "way": name,
            "seconds": asdict(Spread.of(one.wall.mean(axis=1))),
            "cpu_seconds": asdict(Spread.of(one.cpu.mean(axis=1))),
            "faster": asdict(Spread.of(naive_times.wall.mean(axis=1) / one.wall.mean(axis=1))),
            "cpu_faster": asdict(Spread.of(naive_times.cpu.mean(axis=1) / one.cpu.mean(axis=1))),
            "rows_seen": float(np.mean([result.seen for result in one.results])),
        }
        for name, one in times.items()
    ]


def product_rates(times: Mapping[str, Times], macs: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """MACs per second of our scoring and of bare products, and their ratio; macs: as of `products` per candidate.

    share: all products of the scoring, those of attention too, against bare products of the linear layers;
    share_linear: linear layers only. cpu_share: share by CPU time, which other processes disturb less.
    """
    linear, attention = np.array(macs).sum(axis=0)
    mine, bare = times["ours"], times["products"]
    work = (linear + attention) / linear
    return {
        "bare_macs_per_second": asdict(Spread.of(linear / bare.wall.sum(axis=1))),
        "scoring_macs_per_second": asdict(Spread.of((linear + attention) / mine.wall.sum(axis=1))),
        "share": asdict(Spread.of(work * bare.wall.sum(axis=1) / mine.wall.sum(axis=1))),
        "share_linear": asdict(Spread.of(bare.wall.sum(axis=1) / mine.wall.sum(axis=1))),
        "cpu_share": asdict(Spread.of(work * bare.cpu.sum(axis=1) / mine.cpu.sum(axis=1))),
    }


def benchmark(
    setting: Setting, candidates: Sequence[Architecture], best: Architecture, rival: Outcomes, rounds: int
) -> dict[str, Any]:
    """All measurements on one set of candidates. best, rival: as of `best_first`."""
    all_rows, raced_rows = setting.race_rows(()), setting.race_rows(LOOKS)
    int8 = Int8Weights(bits=7 if this_cpu().needs_reduced_range else 8)
    int8_rival = ours(setting, setting.pruner, raced_rows, int8=int8)[1](best).outcomes
    naive_way, naive_rows = naive(setting)
    mask_way, mask_rows = masks(setting)
    ways = {
        "naive": naive_way,
        "masks": mask_way,
        "ours": ours(setting, setting.pruner, all_rows)[0],
        "raced": ours(setting, setting.pruner, raced_rows, rival)[0],
        "ours-bf16": ours(setting, setting.pruner, all_rows, precision="bfloat16")[0],
        "raced-bf16": ours(setting, setting.pruner, raced_rows, rival, "bfloat16")[0],
        "ours-int8": ours(setting, setting.pruner, all_rows, int8=int8)[0],
        "raced-int8": ours(setting, setting.pruner, raced_rows, int8_rival, int8=int8)[0],
        "products": bare_products(setting, all_rows, candidates),
    }
    times = measure(ways, candidates, rounds)
    parts = {"naive": [naive_rows], "masks": [mask_rows], "ours": all_rows.legs, "raced": raced_rows.legs}
    return {
        "ways": summary(times),
        "products": product_rates(times, [products(setting, all_rows, one) for one in candidates]),
        "padding": {name: waste(part) for name, part in parts.items()},
        "agreement": agreement(setting, candidates[0]),
        "bf16_rank_correlation": _rank_correlation(times["ours"].results, times["ours-bf16"].results),
        "int8_rank_correlation": _rank_correlation(times["ours"].results, times["ours-int8"].results),
        "candidates": [
            {**one.to_dict(), "metric": result.metric, "rows_seen_in_race": raced.seen}
            for one, result, raced in zip(candidates, times["ours"].results, times["raced"].results, strict=True)
        ],
    }


def _rank_correlation(one: Sequence[Result], other: Sequence[Result]) -> dict[str, float]:
    """Spearman correlation over the candidates, of the metric and of the loss; NaN where all are equal."""
    pairs = {name: [[getattr(each, name) for each in side] for side in (one, other)] for name in ("metric", "loss")}
    return {
        name: float(spearmanr(*sides).statistic) if all(len(set(side)) > 1 for side in sides) else float("nan")
        for name, sides in pairs.items()
    }


def setting_of(pipeline: Pipeline, limit: int | None) -> Setting:
    """The search and select rows of a pipeline, or the first so many, and its models."""
    config, spec = pipeline.run.config, pipeline.run.task.spec
    rows = [*pipeline.run.task.rows["search"], *pipeline.run.task.rows["select"]][:limit]
    prepared = prepare(rows, spec, pipeline.dense.tokenizer, config.data.max_length, config.search.max_batch_tokens)
    return Setting(
        dense=pipeline.dense.model,
        pruner=pipeline.pruner,
        importance=pipeline.candidates.importance("magnitude"),
        tokenizer=pipeline.dense.tokenizer,
        spec=spec,
        rows=rows,
        max_length=config.data.max_length,
        max_tokens=config.search.max_batch_tokens,
        seed=config.seed,
        doubt=doubts(spec, prepared.encoded, dense_logits(pipeline.dense.model, prepared)),
    )


def best_first(setting: Setting, first: Sequence[Architecture]) -> tuple[Architecture, Outcomes]:
    """The best of the first trials with its outcomes, in the order of raced rows."""
    scorer = SubnetworkScorer(setting.dense, setting.pruner, setting.race_rows(LOOKS), Judge(setting.spec))
    scored = [(architecture, scorer(architecture)) for architecture in first]
    best, found = max(scored, key=lambda pair: (pair[1].metrics[setting.spec.headline], -pair[1].loss))
    assert found.outcomes is not None
    return best, found.outcomes


def show(task: str, result: Mapping[str, Any]) -> None:
    """Print the table of one task."""
    rows = [
        [
            one["way"],
            Spread(**one["seconds"]).show(),
            Spread(**one["faster"]).show(1),
            Spread(**one["cpu_faster"]).show(1),
            f"{one['rows_seen']:.0f}",
            f"{result['padding'][one['way']]['padding_share']:.1%}" if one["way"] in result["padding"] else "",
        ]
        for one in result["ways"]
    ]
    print(f"{task}: {len(result['candidates'])} candidates, {result['threads']} threads; median (least–most) of rounds")
    print(table(["way", "seconds per candidate", "faster", "faster, CPU time", "rows", "padding"], rows))
    shares = [Spread(**result["products"][name]).show(2) for name in ("share", "cpu_share")]
    print(f"share of the matrix-product rate: {shares[0]}, by CPU time {shares[1]}")
    for form, key in (("bfloat16", "bf16_rank_correlation"), ("int8", "int8_rank_correlation")):
        ranks = ", ".join(f"{name} {value:.2f}" for name, value in result[key].items())
        print(f"rank correlation of {form} with float32 over the candidates: {ranks}")
    if result["study"]:
        found = result["study"]
        print(
            f"study of {found['trials']} trials: {found['races']['stopped_share']:.0%} of proposed candidates stopped, "
            f"{found['races']['rows_share']:.0%} of rows seen; {found['prefixes']['hit_rate']:.0%} share first layers, "
            f"{found['prefixes']['macs_saved']:.1%} of MACs"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add_runs(parser, "sst2")
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--removed", type=float, default=0.5, help="share of the encoder's MACs that is removed")
    parser.add_argument("--rows", type=int, help="only so many rows, for a quick look")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    results = {}
    for task in given.only:
        pipeline = open_run(task, given.runs, macs_budget(given.removed, 32))
        setting = setting_of(pipeline, given.rows)
        budget = pipeline.setup.budgets[0]
        first = [each[0] for each in pipeline.first_trials.values()]
        candidates = random_architectures(pipeline.setup.grid, budget, given.candidates, pipeline.run.config.seed)
        rival, outcomes = best_first(setting, first)
        result = benchmark(setting, candidates, rival, outcomes, given.rounds)
        results[task] = {
            "rows": len(setting.rows),
            "removed": given.removed,
            "threads": given.threads,
            "rounds": given.rounds,
            "rival": rival.to_dict(),
            **result,
            "study": study_facts(pipeline),
        }
        show(task, results[task])
    write_result(given.results, "scoring_speed", {"tasks": results})


if __name__ == "__main__":
    main()

"""What does a smaller vocabulary cost? A model with fewer and fewer pieces, on rows that no choice was made on.

    python experiments/benchmarks/vocabulary.py --results results --runs results

The pieces are those that the train rows use, the most frequent first. The dense model of a task is cut after it was
fine-tuned, without any further training, and, for the limits of `--trained`, before that, as `pruning.vocabulary` does.
Each model is exported, quantized dynamically, and its files are scored on the dev rows (search and select) and on the
report rows; differences are paired, with 95 % intervals. Prints a table and writes
`<results>/benchmarks/vocabulary.json`; a model that was scored before is not scored again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from common import TASKS, Ledger, add_runs, make_parser, show_paired, table, write_result
from int8_cost import outcomes
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from aebert.config import VocabularyConfig, load_config
from aebert.deployment.onnx_export import export_onnx
from aebert.deployment.quantize import quantize_int8
from aebert.pruning.coverage import coverage, piece_counts
from aebert.pruning.vocabulary import choose_pieces, cut_embeddings, cut_tokenizer
from aebert.run.pipeline import Pipeline
from aebert.search.difference import CONFIDENCE
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.tasks.task import Row
from aebert.terminal import quiet_libraries

USED = "used"  # the limit that keeps all that the train rows use
KINDS = ("float32", "int8")


def open_dense(task: str, runs: Path, overrides: Mapping[str, str]) -> Pipeline:
    """The run of a task's config, with its dense model made if it is missing."""
    quiet_libraries()
    pipeline = Pipeline(load_config(TASKS / f"{task}.yaml", {"results": str(runs), **overrides}))
    with pipeline.run.lock():
        _ = pipeline.dense
    return pipeline


def parts(pipeline: Pipeline) -> dict[str, list[Row]]:
    """The rows that models are scored on."""
    rows = pipeline.run.task.rows
    return {"dev": [*rows["search"], *rows["select"]], "report": [*rows["report"]]}


def limited(keep: str) -> VocabularyConfig:
    """The limit of an argument: a number of pieces, or `used`."""
    return VocabularyConfig(keep=None if keep == USED else int(keep))


def score(pipeline: Pipeline, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Pieces, parameters, sizes of both files, and what they do on each row, as `Outcomes` write it down."""
    spec, batch = pipeline.run.task.spec, pipeline.run.config.search.max_batch_tokens
    rows = {name: pipeline.run.encoded(some, tokenizer, batch) for name, some in parts(pipeline).items()}
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: Path(folder) / f"{kind}.onnx" for kind in KINDS}
        export_onnx(model, tokenizer.model_input_names, files["float32"])
        quantize_int8(files["float32"], files["int8"])
        found = {kind: {name: outcomes(path, some) for name, some in rows.items()} for kind, path in files.items()}
        sizes = {kind: path.stat().st_size for kind, path in files.items()}
    return {
        "metric": spec.headline,
        "pieces": len(tokenizer),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bytes": sizes,
        "outcomes": {kind: {name: one.encode() for name, one in some.items()} for kind, some in found.items()},
    }


def cut_after(pipeline: Pipeline, keep: str) -> dict[str, Any]:
    """A dense model that is cut after it was fine-tuned, with how its tokenizer reads the rows."""
    dense, task = pipeline.dense, pipeline.run.task
    counts = piece_counts(task.rows["train"], task.spec, dense.tokenizer)
    kept = choose_pieces(dense.tokenizer, dense.model.config, counts, limited(keep))
    model = cut_embeddings(dense.model, kept)
    tokenizer = cut_tokenizer(dense.tokenizer, kept, model.config, task.spec)
    read = {
        name: asdict(
            coverage(name, rows, task.spec, dense.tokenizer, tokenizer, kept, pipeline.run.config.data.max_length)
        )
        for name, rows in parts(pipeline).items()
    }
    return {**score(pipeline, model, tokenizer), "read": read}


def whole(pipeline: Pipeline) -> dict[str, Any]:
    """The dense model of a run as it is."""
    return score(pipeline, pipeline.dense.model, pipeline.dense.tokenizer)


def cut_before(task: str, runs: Path, overrides: Mapping[str, str], keep: str) -> dict[str, Any]:
    """A dense model that is fine-tuned with the smaller vocabulary."""
    limit = "{}" if keep == USED else f"{{keep: {keep}}}"
    vocabulary = {"name": f"{task}-vocabulary-{keep}", "pruning.vocabulary": limit}
    return whole(open_dense(task, runs, {**overrides, **vocabulary}))


def compared(pipeline: Pipeline, mine: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Scores of both files of a model on the dev and report rows, and their differences from another model's."""
    judge = Judge(pipeline.run.task.spec)
    found: dict[str, Any] = {}
    for kind in KINDS:
        for rows in mine["outcomes"][kind]:
            one, two = (Outcomes.decode(model["outcomes"][kind][rows]) for model in (mine, other))
            difference = judge.difference(one, two)
            interval = {"low": difference.low(CONFIDENCE), "high": difference.high(CONFIDENCE)}
            against = {"difference": difference.value, **interval}
            found[f"{kind} {rows}"] = {"score": judge.score(one), "rows": len(one), "against dense": against}
    return found


def of_task(task: str, given: Any, ledger: Ledger) -> list[dict[str, Any]]:
    """One row per model, the dense one first."""
    overrides = dict(pair.split("=", 1) for pair in given.set)
    pipeline = open_dense(task, given.runs, overrides)
    dense = ledger.get(f"{task} dense", partial(whole, pipeline))
    models = {("all", "–"): dense}
    for keep in given.keep:
        models[keep, "after"] = ledger.get(f"{task} {keep} after", partial(cut_after, pipeline, keep))
    for keep in given.trained:
        make = partial(cut_before, task, given.runs, overrides, keep)
        models[keep, "before"] = ledger.get(f"{task} {keep} before", make)
    return [
        {
            "task": task,
            "keep": keep,
            "cut": cut,
            **{key: value for key, value in model.items() if key != "outcomes"},
            "scores": compared(pipeline, model, dense),
        }
        for (keep, cut), model in models.items()
    ]


def _growth(row: Mapping[str, Any]) -> tuple[str, str, str]:
    read = row.get("read", {}).get("report")
    if read is None:
        return "", "", ""
    growth = read["small_tokens"] / read["whole_tokens"]
    return f"{100 * read['broken'] / read['words']:.1f} %", f"{growth:.2f}", f"{read['small_cut']}"


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the table, scores and differences × 100."""
    cells = [
        [
            f"{row['task']}, {row['keep']}",
            row["cut"],
            f"{row['pieces']:,}",
            *_growth(row),
            *(f"{row['bytes'][kind] / 1e6:.1f}" for kind in KINDS),
            *(
                text
                for one in row["scores"].values()
                for text in (f"{100 * one['score']:.1f}", show_paired(one["against dense"]))
            ),
        ]
        for row in rows
    ]
    titles = [text for one in rows[0]["scores"] for text in (one, "against dense")]
    first = ["task, keep", "cut", "pieces", "fall apart", "length", "rows cut", *(f"{kind} MB" for kind in KINDS)]
    print(table([*first, *titles], cells))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    add_runs(parser, "sst2")
    limits = ["2000", "4000", "8000", USED]
    parser.add_argument("--keep", nargs="*", default=limits, help=f"most pieces of each model, or {USED}")
    parser.add_argument("--trained", nargs="*", default=[], help="limits that are also cut before fine-tuning")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="keys of the task's config")
    given = parser.parse_args(arguments)
    ledger = Ledger(given.runs / "vocabulary.jsonl")
    rows = [row for task in given.only for row in of_task(task, given, ledger)]
    show(rows)
    write_result(given.results, "vocabulary", {"set": given.set, "rows": rows})


if __name__ == "__main__":
    main()

"""How good are sub-networks of all-MiniLM-L6-v2 as sentence embedders before any training?

    python experiments/benchmarks/embeddings_without_training.py --results results

Runs the search of experiments/minilm-embeddings.yaml (data below AEBERT_DATA), takes what it chose at each budget, and
the first layers of the dense model at the same cost, which is what people do by hand. Each is scored once on the STS-B
test pairs, on which no choice was made, as float32 model in torch; what was chosen at the mildest budget also as a
dynamic-int8 file, and so is the dense model. Prints a line for each and writes
`<results>/benchmarks/embeddings_without_training.json`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from common import make_parser, write_result
from transformers import PreTrainedModel

from aebert.config import load_config
from aebert.deployment.onnx_export import export_onnx
from aebert.deployment.quantize import quantize_int8
from aebert.deployment.session import OnnxModel
from aebert.models.depth import first_layers
from aebert.models.evaluation import Evaluation, evaluate, evaluate_forward
from aebert.run.baselines import cut_at, layer_cuts
from aebert.run.pipeline import Pipeline
from aebert.run.requests import file_forward
from aebert.search.difference import CONFIDENCE
from aebert.search.front import spent
from aebert.search.judge import Judge
from aebert.search.knowledge import recipe_of
from aebert.search.outcomes import Outcomes
from aebert.search.scoring import outcomes_of
from aebert.tasks.resampling import bootstrap, headline_of

CONFIG = Path(__file__).parents[1] / "minilm-embeddings.yaml"
RESAMPLES = 1000


class Bench:
    """The study, and what is scored on its report rows. rows: what was found so far, with plain values."""

    def __init__(self, work: Pipeline) -> None:
        self.work, self.prepared = work, work.rows("report")
        self.judge = Judge(work.run.task.spec)
        self.rows: list[dict[str, Any]] = []
        self._dense: Outcomes | None = None

    def add(self, name: str, found: Evaluation, removed: float) -> None:
        """Keep and print one score, with its interval and its paired difference from the first one, the dense model."""
        outcomes = outcomes_of(self.prepared, found.losses, found.logits)
        spec, marks = self.judge.spec, outcomes.marks
        interval = bootstrap(lambda draw: headline_of(spec, marks[draw]), len(outcomes), 0, RESAMPLES)
        row = {"model": name, "macs_removed": removed, **found.metrics, "interval": interval, "pairs": len(outcomes)}
        if self._dense is None:
            self._dense = outcomes
        else:
            lead = self.judge.difference(outcomes, self._dense)
            row |= {"vs_dense": lead.value, "low": lead.low(CONFIDENCE), "high": lead.high(CONFIDENCE)}
        self.rows.append(row)
        print({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}, flush=True)

    def add_int8(self, name: str, model: PreTrainedModel, removed: float) -> None:
        """The same of a model's dynamic-int8 file."""
        with tempfile.TemporaryDirectory() as place:
            plain = export_onnx(model, self.work.dense.tokenizer.model_input_names, Path(place) / "a.onnx", opset=20)
            file = OnnxModel(quantize_int8(plain, Path(place) / "b.onnx"), torch.get_num_threads())
            self.add(f"{name} int8", evaluate_forward(file_forward(file), self.prepared), removed)


def main() -> None:
    """Run the benchmark."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--runs", type=Path, default=Path("results"), help="folder of the study, which is made if missing"
    )
    given = parser.parse_args()
    work = Pipeline(load_config(CONFIG, {"results": str(given.runs)}))
    dense = work.dense
    bench = Bench(work)
    bench.add("dense", evaluate(dense.model, bench.prepared), 0.0)
    bench.add_int8("dense", dense.model, 0.0)
    trials, verdicts = work.study
    by_number = {trial.number: trial for trial in trials}
    cuts = layer_cuts(work.run, dense, work.setup, None)
    for place, verdict in enumerate(verdicts):
        trial = by_number[verdict.chosen]
        small = work.rungs.make(recipe_of(trial, by_number))
        name = f"trial {trial.number} ({trial.origin})"
        bench.add(name, evaluate(small, bench.prepared), trial.macs_removed)
        if not place:
            bench.add_int8(name, small, trial.macs_removed)
        cut = cut_at(cuts, spent(trial, work.setup.info), work.setup)
        layers = first_layers(dense.model, cut.layers)
        bench.add(f"first {cut.layers} layers", evaluate(layers, bench.prepared), cut.macs_removed)
    write_result(given.results, "embeddings_without_training", {"config": CONFIG.name, "rows": bench.rows})


if __name__ == "__main__":
    main()

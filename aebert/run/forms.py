"""The forms that a model ships in: its graph plain or fused, quantized in several ways; the faster ones are kept.

Files that are tried lie in `models/work/<name>/` of the run's folder until the choice is recorded; each is a stage of
its own, so that a killed export goes on where it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aebert.deployment.choice import LossInterval, Tried, choose, chosen
from aebert.deployment.cpu import this_cpu
from aebert.deployment.exclusion import Search
from aebert.deployment.exported import ExportedForms, KeptGraphs, Quantization
from aebert.deployment.fusion import add_embeddings, fuse_onnx
from aebert.deployment.onnx_export import export_onnx
from aebert.deployment.parity import check_parity, largest_difference, other_shapes
from aebert.deployment.quantize import VARIANTS, DynamicInt8, QuantizeOptions, Source, quantize
from aebert.deployment.session import Feed, OnnxModel
from aebert.digests import file_digest
from aebert.files import replacing
from aebert.models.evaluation import evaluate_forward
from aebert.models.families import family_of
from aebert.profiling.profiles import speedup
from aebert.profiling.sampling import Samples, interleave, spread
from aebert.run.dense import Dense
from aebert.run.requests import file_forward, requests_of
from aebert.run.run import Run
from aebert.run.shipped import ShippedModel
from aebert.search.difference import CONFIDENCE
from aebert.search.judge import Judge
from aebert.search.kinds import KINDS
from aebert.search.outcomes import Outcomes
from aebert.search.scoring import outcomes_of
from aebert.sections import plain

_TIMED_RUNS = 60  # requests that a choice between files is timed on


@dataclass(frozen=True)
class Forms:
    """The files of one model.

    max_bytes: largest size that the quantized file may have, None for any.
    """

    run: Run
    dense: Dense
    model: ShippedModel
    max_bytes: float | None = None

    @property
    def name(self) -> str:
        """What the files are called."""
        return self.model.name

    @property
    def _work(self) -> str:
        return f"models/work/{self.name}"

    def _path(self, file: str) -> Path:
        return self.run.folder / self._work / file

    def make(self, float32: Path, int8: Path | None) -> ExportedForms:
        """Write the float32 file and, unless None, the quantized one; what was tried, measured and chosen.

        Raises: ExportError when a file can't be made or differs from the model; OutputError when the disk refuses.
        """
        graphs, kept = self._graphs(), self._kept()
        _copy(self._path(f"{kept.float32}.onnx"), float32)
        forms = ExportedForms.from_dict({**graphs, "kept": kept.to_dict()})
        return forms if int8 is None else replace(forms, quantization=self._quantized(kept, float32, int8))

    def _quantized(self, kept: KeptGraphs, float32: Path, int8: Path) -> Quantization:
        source = self._path("plain.onnx" if kept.int8_source == "plain" else "apart.onnx")
        tried = self._tried(source, float32)
        best = chosen(tried)
        _copy(self._path(f"{best.variant}.onnx"), int8)
        return Quantization(this_cpu().describe(), self.run.config.deploy.max_loss, best.variant, tuple(tried))

    def clean(self) -> None:
        """Remove what was tried; only after the choice is recorded, or a kill in between would cost all of it."""
        shutil.rmtree(self.run.folder / self._work, ignore_errors=True)

    # --- graphs ---------------------------------------------------------------------------------------------------

    def _graphs(self) -> dict[str, Any]:
        """plain.onnx, and unless `never` fused.onnx and the same with embeddings apart (apart.onnx)."""
        config = self.run.config.deploy
        files = ["plain.onnx"] if config.fuse == "never" else ["plain.onnx", "apart.onnx", "fused.onnx"]
        inputs = {"weights": self.model.digest, "opset": config.opset, "fuse": config.fuse != "never"}

        def make() -> dict[str, Any]:
            model, names = self.model.load(), self.dense.tokenizer.model_input_names
            path, batches = self._path("plain.onnx"), self._parity_batches()
            with self.run.progress.bar(f"export {self.name}", len(files)) as bar:
                export_onnx(model, names, path, opset=config.opset)
                parity = check_parity(model, path, batches)
                bar.advance(1, f"logits differ by {parity.max_abs_difference:.1e}")
                if len(files) == 1:
                    return {"parity": parity.to_dict(), "fusion": None}
                apart, whole = self._path("apart.onnx"), self._path("fused.onnx")
                fusion = fuse_onnx(model, names, apart, plain=path, opset=config.opset, embeddings=False)
                fusion = fusion.with_embeddings(add_embeddings(apart, whole))
                bar.advance(2, fusion.describe())
            fused = check_parity(model, whole, batches).to_dict()
            fused["max_abs_difference_from_plain"] = largest_difference(path, whole, batches)
            return {"parity": parity.to_dict(), "fusion": {**fusion.to_dict(), "parity": fused}}

        return self._stage("graphs", inputs, files, make)

    def _parity_batches(self) -> list[dict[str, torch.Tensor]]:
        """Real rows, in shapes that the exporter did not see."""
        config, rows = self.run.config, self.run.task.rows["train"][:8]
        batch = self.run.encoded(rows, self.dense.tokenizer, 10**6).batches[0].tensors
        most = family_of(self.dense.model.config).most_tokens(self.dense.model.config)
        pad = self.dense.tokenizer.pad_token_id
        return other_shapes(batch, pad_token_id=pad, max_length=min(config.data.max_length, most))

    def _kept(self) -> KeptGraphs:
        """Which graph ships in float32, and which one is quantized; with `auto` the faster of plain and fused."""
        config = self.run.config.deploy
        if config.fuse == "auto":
            return self._faster()
        graph = "plain" if config.fuse == "never" else "fused"
        return KeptGraphs(graph, graph if config.int8 else None)

    def _faster(self) -> KeptGraphs:
        files = ["plain-int8.onnx", "apart-int8.onnx"] if self.run.config.deploy.int8 else []

        def make() -> dict[str, Any]:
            paths = {name: self._path(f"{name}.onnx") for name in ("plain", "fused")}
            if files:
                for name in ("plain", "apart"):
                    path = paths[f"{name}-int8"] = self._path(f"{name}-int8.onnx")
                    quantize(Source.load(self._path(f"{name}.onnx")), path, DynamicInt8(), QuantizeOptions())
            timed = self._timed(paths).milliseconds
            ratios = {"float32": speedup(timed["plain"], timed["fused"]).median}
            if files:
                ratios["int8_source"] = speedup(timed["plain-int8"], timed["apart-int8"]).median
            winners = {kind: "fused" if ratio >= 1 else "plain" for kind, ratio in ratios.items()}
            return {**winners, "fused_times_faster": ratios}

        graph = file_digest(self._path("plain.onnx"))
        found = self._stage("kept", {**self._timing, "graph": graph, "int8": bool(files)}, files, make)
        return KeptGraphs.from_dict({key: value for key, value in found.items() if key != "seconds"})

    # --- quantized ------------------------------------------------------------------------------------------------

    def _tried(self, source: Path, float32: Path) -> list[Tried]:
        """Every variant of a graph, scored on the select rows and timed, with its verdict."""
        names, config = self.run.config.deploy.tried, self.run.config.deploy
        scored = {name: self._variant(name, source) for name in names}
        paths = {"float32": float32, **{name: self._path(f"{name}.onnx") for name in names}}

        def make() -> dict[str, Any]:
            return {"milliseconds": {name: list(ms) for name, ms in self._timed(paths).milliseconds.items()}}

        inputs = {**self._timing, "files": {name: file_digest(path) for name, path in paths.items()}}
        timed = self._stage("timed", inputs, [], make)["milliseconds"]
        rows = [
            Tried(
                variant=name,
                describes=VARIANTS[name].describe(),
                size_bytes=paths[name].stat().st_size,
                score=one["score"],
                loss=one["loss"],
                median_ms=float(np.median(timed[name])),
                speedup=speedup(timed["float32"], timed[name]).median,
                excluded=tuple(one["excluded"]),
                interval=LossInterval(**one["interval"]) if "interval" in one else None,
            )
            for name, one in scored.items()
        ]
        return choose(rows, config.max_loss, self.max_bytes)

    def _variant(self, name: str, source: Path) -> dict[str, Any]:
        """One variant's file, as good as leaving out layers makes it; its score, and its loss with the interval."""
        config, digests = self.run.config.deploy, self.run.task.digests
        inputs = {
            "source": file_digest(source),
            "variant": [name, VARIANTS[name].describe()],
            "rows": [digests["train"], digests["select"], config.calibration_rows, self.run.config.data.max_length],
            "allowed": [config.max_loss, CONFIDENCE, self._may_exclude, self.max_bytes],
            "cpu": instruction_sets_here(),
            "seed": self.run.config.seed,
        }

        def make() -> dict[str, Any]:
            with self.run.progress.bar(f"quantize {self.name}, {name}", 1) as bar:
                search = Search(
                    variant=VARIANTS[name],
                    source_path=source,
                    path=self._path(f"{name}.onnx"),
                    calibration=self.calibration,
                    outcomes=self.outcomes,
                    exact=self._exact(source),
                    judge=Judge(self.run.task.spec),
                    max_bytes=self.max_bytes,
                )
                result = search.run(config.max_loss, self._may_exclude).to_dict()
                bar.advance(1, f"loses {result['loss']:.1f} points")
            return result

        return self._stage(f"variant-{name}", inputs, [f"{name}.onnx"], make)

    @property
    def _may_exclude(self) -> bool:
        """Not under a budget in milliseconds: layers in float32 take time that no latency table knows of."""
        return self.run.config.deploy.exclude and not KINDS[self.run.config.search.budget.kind].is_priced

    def _exact(self, source: Path) -> Outcomes:
        """What the float32 graph that is quantized does on the select rows, run once for all variants."""
        rows = self.run.rows_digest("select")
        inputs = {"source": file_digest(source), "rows": rows}
        found = self._stage("float32", inputs, [], lambda: {"outcomes": self.outcomes(source).encode()})
        return Outcomes.decode(found["outcomes"])

    def outcomes(self, path: Path) -> Outcomes:
        """What a file does on the select rows; the report rows have no say in a choice."""
        session = OnnxModel(path, threads=torch.get_num_threads())
        rows = self.run.rows("select", self.dense.tokenizer)
        result = evaluate_forward(file_forward(session), rows)
        return outcomes_of(rows, result.losses, result.logits)

    @cached_property
    def calibration(self) -> list[Feed]:
        """A seeded draw of train rows, one per batch: padding would widen the ranges of activations."""
        config, rows = self.run.config, self.run.task.rows["train"]
        count = min(config.deploy.calibration_rows, len(rows))
        drawn = np.random.default_rng(config.seed).choice(len(rows), size=count, replace=False)
        return requests_of(self.run, self.dense.tokenizer, [rows[index] for index in sorted(drawn)], 1)

    # --- timing ---------------------------------------------------------------------------------------------------

    @property
    def _timing(self) -> dict[str, Any]:
        """What measured times depend on besides the files."""
        profile = plain(self.run.config.profile)
        return {"profile": profile, "rows": self.run.task.digests["select"], "cpu": instruction_sets_here()}

    def _timed(self, paths: Mapping[str, Path]) -> Samples:
        """All files in turns on the same select rows, at their own lengths."""
        config = self.run.config.profile
        requests = requests_of(self.run, self.dense.tokenizer, self.run.task.rows["select"], config.batch_size)
        schedule = spread(len(requests), min(_TIMED_RUNS, config.runs))
        models = {name: OnnxModel(path, config.threads).logits for name, path in paths.items()}
        return interleave(models, requests, schedule, warmup=schedule[: config.warmup], progress=self.run.progress)

    def _stage(
        self, kind: str, inputs: Mapping[str, Any], files: Sequence[str], make: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        self._path("").mkdir(parents=True, exist_ok=True)
        outputs = [f"{self._work}/{file}" for file in files]
        return self.run.stage(f"export-{self.name}-{kind}", inputs, outputs).run(make)


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as written:
        shutil.copyfile(source, written)


def instruction_sets_here() -> list[str] | None:
    """Instruction sets of this processor, as plain values."""
    sets = this_cpu().sets
    return None if sets is None else list(sets)

"""The FlatBuffers (LiteRT) of a run's models: made, scored on the report rows, measured. Off unless asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from aebert.config import LiteRTConfig
from aebert.deployment.litert import Bits, export_litert, quantize_litert
from aebert.deployment.litert_session import LiteRTModel
from aebert.deployment.opening import FLATBUFFER
from aebert.deployment.parity import check_logits, other_shapes
from aebert.models.evaluation import Prepared
from aebert.profiling.memory import peak_memory_bytes
from aebert.reporting.rows import ProfileRow
from aebert.run.dense import Dense
from aebert.run.profiles import measure_in_turns
from aebert.run.run import Run
from aebert.run.scores import report_inputs, score_file
from aebert.run.shipped import ShippedModel
from aebert.sections import plain
from aebert.studies.folder import DENSE
from aebert.tasks.task import Row

_BITS: Mapping[str, Bits] = {"int8": 8, "int4": 4}


@dataclass(frozen=True)
class FlatBufferForm:
    """One FlatBuffer of a model. kind: weights as float32, int8 or int4. length: tokens of a row, padding included."""

    model: str
    length: int
    kind: str = "float32"

    @property
    def name(self) -> str:
        """What the file and its stages are called: `dense.32`, `trial-19.32.int8`."""
        return f"{self.model}.{self.length}" + ("" if self.kind == "float32" else f".{self.kind}")

    @property
    def title(self) -> str:
        """What a table says."""
        return f"LiteRT {self.kind}, {self.length} tokens"


def forms(config: LiteRTConfig, model: str) -> list[FlatBufferForm]:
    """The FlatBuffers of one model, the float32 one of each length first."""
    kinds = ["float32", *(kind for kind in _BITS if getattr(config, kind))]
    return [FlatBufferForm(model, length, kind) for length in config.lengths for kind in kinds]


class FlatBuffers:
    """The FlatBuffers that a run ships, and what is known of them; none without `deploy.litert`."""

    def __init__(self, run: Run, dense: Dense, models: Sequence[ShippedModel], base: Callable[[], Path]) -> None:
        """base: makes the dense model's float32 ONNX file, which speed-ups are against."""
        self.run, self.dense, self.models, self.base = run, dense, models, base
        self.config = run.config.deploy.litert

    @cached_property
    def files(self) -> dict[FlatBufferForm, Path]:
        """The files of the dense model and every finalist, made where they are missing."""
        if self.config is None:
            return {}
        for model in self.models:
            self._export(model)
        return {form: self._path(form) for model in self.models for form in forms(self.config, model.name)}

    def _path(self, form: FlatBufferForm) -> Path:
        return self.run.folder / "models" / f"{form.name}{FLATBUFFER}"

    def _export(self, shipped: ShippedModel) -> None:
        assert self.config is not None
        wanted = forms(self.config, shipped.name)
        outputs = [str(self._path(form).relative_to(self.run.folder)) for form in wanted]

        def make() -> dict[str, Any]:
            model, parity = shipped.load(), {}
            with self.run.progress.bar(f"LiteRT {shipped.name}", len(wanted)) as bar:
                for form in wanted:
                    if form.kind == "float32":
                        parity[form.length] = self._convert(model, form)
                    else:
                        source = self._path(FlatBufferForm(shipped.name, form.length))
                        quantize_litert(source, self._path(form), bits=_BITS[form.kind])
                    bar.advance(1, form.name)
            # of this process so far: the conversion is what takes most of it
            return {"parity": parity, "peak_memory_bytes": peak_memory_bytes()}

        inputs = {"weights": shipped.digest, "litert": plain(self.config)}
        self.run.stage(f"litert-{shipped.name}", inputs, outputs).run(make)

    def _convert(self, model: Any, form: FlatBufferForm) -> dict[str, Any]:
        """Make the float32 file and compare its logits with the model's, on real rows of several lengths."""
        tokenizer = self.dense.tokenizer
        path = export_litert(model, tokenizer.model_input_names, self._path(form), length=form.length)
        batch = self._prepare(self.run.task.rows["train"][:8], form.length).batches[0].tensors
        shapes = other_shapes(batch, pad_token_id=tokenizer.pad_token_id, max_length=form.length)
        return check_logits(model, self._open(path), shapes, fix="report it with the model's config").to_dict()

    def _open(self, path: Path) -> LiteRTModel:
        return LiteRTModel(path, torch.get_num_threads(), pad_token_id=self.dense.tokenizer.pad_token_id)

    def _prepare(self, rows: Sequence[Row], length: int, tokens: int = 10**9) -> Prepared:
        """Rows encoded as the file takes them: cut to its length."""
        return self.run.encoded(rows, self.dense.tokenizer, tokens, length)

    @cached_property
    def reported(self) -> dict[FlatBufferForm, dict[str, Any]]:
        """What `score_file` says of every file on the report rows, cut to its length."""
        files = self.files
        return {form: self._reported(form, path) for form, path in files.items()}

    def _reported(self, form: FlatBufferForm, path: Path) -> dict[str, Any]:
        config, rows = self.run.config, self.run.task.rows["report"]

        def make() -> dict[str, Any]:
            prepared = self._prepare(rows, form.length, config.search.max_batch_tokens)
            return {
                **score_file(self.run, form.name, self._open(path), prepared, self.dense.tokenizer),
                "cut": self._cut(form),
            }

        return self.run.stage(f"report-{form.name}{FLATBUFFER}", report_inputs(self.run, path)).run(make)

    def _cut(self, form: FlatBufferForm) -> int:
        """Report rows that are longer than the file."""
        whole = self._prepare(self.run.task.rows["report"], self.run.config.data.max_length)
        return sum(len(row["input_ids"]) > form.length for row in whole.encoded)

    @cached_property
    def profiles(self) -> list[dict[str, Any]]:
        """Each length in one interleaved run: its files, after the dense float32 ONNX file as the base of speed-ups."""
        assert self.config is not None
        return [profile for length in self.config.lengths for profile in self._profiled(length)]

    def _profiled(self, length: int) -> list[dict[str, Any]]:
        base = {DENSE: self.base()}
        files = base | {form.name: path for form, path in self.files.items() if form.length == length}
        # ONNX answers the same rows unpadded, as it ships
        stage = f"profile-litert-{length}"
        found: list[dict[str, Any]] = measure_in_turns(self.run, self.dense.tokenizer, stage, files, length)["profiles"]
        return found

    def rows(self) -> list[ProfileRow]:
        """One row per file for the report's table of profiles."""
        if self.config is None:
            return []
        measured = {profile["name"]: profile for profile in self.profiles}
        metric = self.run.task.spec.headline
        return [_row(form, measured[form.name], found["metrics"][metric]) for form, found in self.reported.items()]


def _row(form: FlatBufferForm, measured: Mapping[str, Any], score: float) -> ProfileRow:
    names = ("size_bytes", "p50_ms", "p90_ms", "p99_ms", "throughput_per_s", "peak_memory_bytes")
    return ProfileRow(
        name=form.model,
        kind=form.title,
        **{name: measured[name] for name in names},
        speedup=measured["speedup"]["median"],
        speedup_low=measured["speedup"]["p10"],
        speedup_high=measured["speedup"]["p90"],
        report_score=score,
    )

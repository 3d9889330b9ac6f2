"""What a run ships: a bundle of the dense model and of every finalist."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aebert.deployment.bundle import BundleSource, write_bundle
from aebert.digests import file_digest
from aebert.models.checkpoint import stated_license
from aebert.pruning.architecture import Architecture
from aebert.reporting.shipped import ShippedForm
from aebert.run.dense import Dense
from aebert.run.pipeline import Pipeline
from aebert.run.run import Run
from aebert.run.shipped import ShippedModel
from aebert.runtime.manifest import FORMAT
from aebert.sections import digest as values_digest
from aebert.sections import plain

BUNDLES = "bundles"  # in a run's folder
SAMPLES = 64  # train rows that parity vectors are drawn from


def bundles(pipeline: Pipeline, names: Collection[str] | None = None) -> dict[str, Path]:
    """A bundle of each model, of its quantized file where there is one, by the model's name.

    names: of the models; by default all but the baselines.
    """
    baselines = {baseline.name for baseline in pipeline.baselines}
    wanted = [
        model for model in pipeline.models if (model.name not in baselines if names is None else model.name in names)
    ]
    return {model.name: _bundle(pipeline, model) for model in wanted}


def _bundle(pipeline: Pipeline, model: ShippedModel) -> Path:
    run, dense, name, files = pipeline.run, pipeline.dense, model.name, pipeline.export.files
    target, shipped = run.folder / BUNDLES / name, pipeline.export.shipped(name)
    form = ShippedForm.of(pipeline.export.forms[name], quantized=shipped != name)
    facts = _facts(pipeline, model, form)
    inputs = {
        "format": FORMAT,
        "graph": file_digest(files[shipped]),
        "shipped": shipped,
        "facts": facts,
    }

    def make() -> dict[str, Any]:
        source = BundleSource(
            name=name,
            graph=files[shipped],
            reference=files[name] if shipped != name else None,
            quantization=form.quantization,
            tokenizer=dense.tokenizer,
            config=dense.model.config,
            spec=run.task.spec,
            max_length=run.config.data.max_length,
            samples=run.task.rows["train"][:SAMPLES],
            facts=facts,
        )
        with run.progress.bar(f"bundle {name}", 1) as bar:
            write_bundle(source, target)
            bar.advance()
        return {}

    run.stage(f"bundle-{name}", inputs, [f"{BUNDLES}/{name}"]).run(make)
    return target


def _facts(pipeline: Pipeline, model: ShippedModel, form: ShippedForm) -> dict[str, Any]:
    """What is known of a model's shipped file: plain values without folders of this machine."""
    shipped, machine = pipeline.export.shipped(model.name), pipeline.profiles["machine"]
    measured = next(profile for profile in pipeline.profiles["profiles"] if profile["name"] == shipped)
    shape, scores = pipeline.dense.shape, pipeline.scores[shipped]
    return {
        "architecture": {
            "model": pipeline.setup.info.model,
            "family": shape.family,
            "hidden": shape.hidden,
            "head_size": shape.head_size,
            **model.architecture.to_dict(),
            "dense": Architecture.dense(shape).to_dict(),
        },
        "scores": {
            "rows_of": "report",
            **{key: scores[key] for key in ("metrics", "interval", "rows", "embeddings") if key in scores},
        },
        **({"license": license} if (license := stated_license(pipeline.run.config.model)) else {}),
        "profile": dict(measured),
        "machine": dict(machine),
        "provenance": {**_provenance(pipeline.run, pipeline.dense, machine), "form": form.to_dict()},
    }


def _provenance(run: Run, dense: Dense, machine: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "study": run.config.name,
        "versions": {**machine["versions"], "tokenizers": version("tokenizers")},
        "config": values_digest(plain(run.config)),
        "deploy": plain(run.config.deploy),
        "data": dict(run.task.digests),
        "dense_weights": dense.digest,
        "seed": run.config.seed,
    }

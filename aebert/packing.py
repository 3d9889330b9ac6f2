"""The last stages of a run that make files to ship: a bundle of the dense model and of every finalist."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aebert.config import digest as values_digest
from aebert.config import plain
from aebert.deployment.bundle import BundleSource, write_bundle
from aebert.digests import file_digest
from aebert.pipeline import DENSE, Run
from aebert.pruning.architecture import Architecture
from aebert.reporting.shipped import ShippedForm
from aebert.runtime.manifest import FORMAT
from aebert.shipment import INT8, Shipment
from aebert.stages import Stage

BUNDLES = "bundles"  # in a run's folder
SAMPLES = 64  # train rows that parity vectors are drawn from


def bundles(run: Run, shipment: Shipment) -> dict[str, Path]:
    """Stage 8. A bundle of each model, of its quantized file where there is one, by the model's name."""
    architectures = {DENSE: Architecture.dense(run.dense.shape)}
    architectures |= {finalist.name: finalist.trial.architecture for finalist in run.finalists}
    return {name: _bundle(run, shipment, name, architecture) for name, architecture in architectures.items()}


def _bundle(run: Run, shipment: Shipment, name: str, architecture: Architecture) -> Path:
    target = run.folder / BUNDLES / name
    shipped = name + INT8 if name + INT8 in shipment.files else name
    form = ShippedForm.of(shipment.forms[name], quantized=shipped != name)
    facts = _facts(run, shipment, shipped, architecture, form)
    graph = shipment.files[shipped]
    inputs = {"format": FORMAT, "graph": file_digest(graph), "shipped": shipped, "facts": facts}

    def make() -> dict[str, Any]:
        source = BundleSource(
            name=name,
            graph=graph,
            reference=shipment.files[name] if shipped != name else None,
            quantization=form.quantization,
            tokenizer=run.dense.tokenizer,
            config=run.dense.model.config,
            spec=run.task.spec,
            max_length=run.config.data.max_length,
            samples=run.task.rows["train"][:SAMPLES],
            facts=facts,
        )
        with run.progress.bar(f"bundle {name}", 1) as bar:
            write_bundle(source, target)
            bar.advance()
        return {}

    Stage(run.folder, f"bundle-{name}", inputs, [f"{BUNDLES}/{name}"]).run(make)
    return target


def _facts(run: Run, shipment: Shipment, shipped: str, architecture: Architecture, form: ShippedForm) -> dict[str, Any]:
    """What is known of a file: plain values without folders of this machine."""
    measured = next(profile for profile in shipment.profiles["profiles"] if profile["name"] == shipped)
    shape = run.dense.shape
    return {
        "architecture": {
            "model": run.setup.info.model,
            "family": shape.family,
            "hidden": shape.hidden,
            "head_size": shape.head_size,
            **architecture.to_dict(),
            "dense": Architecture.dense(shape).to_dict(),
        },
        "scores": {"rows_of": "report", **_untimed(shipment.reported[shipped])},
        "profile": dict(measured),
        "machine": dict(shipment.profiles["machine"]),
        "provenance": {**_provenance(run, shipment.profiles["machine"]), "form": form.to_dict()},
    }


def _provenance(run: Run, machine: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "study": run.config.name,
        "versions": {**machine["versions"], "tokenizers": version("tokenizers")},
        "config": values_digest(plain(run.config)),
        "deploy": plain(run.config.deploy),
        "data": dict(run.task.digests),
        "dense_weights": run.dense.digest,
        "seed": run.config.seed,
    }


def _untimed(result: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != "seconds"}

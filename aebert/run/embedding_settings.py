"""Settings that mean nothing for embeddings, refused before any work."""

from __future__ import annotations

from aebert.config import RunConfig
from aebert.errors import ConfigError
from aebert.tasks.task import TaskSpec


def check_embedding_settings(config: RunConfig, spec: TaskSpec) -> None:
    """Raise ConfigError for what a task of embeddings can't follow; do nothing for other tasks."""
    if spec.kind != "embedding":
        return
    rules = {
        f"dense.train must be auto or never for embeddings, got {config.dense.train}: the dense model is used as it "
        "came, since sentences have no labels to train it on": config.dense.train == "always",
        "finalists.distill must not be null for embeddings: finalists have nothing to learn from but the dense "
        "model's embeddings; leave it out": config.finalists.distill is None,
        "head_learning_rate must be left out for embeddings: there is no output layer": (
            config.finalists.head_learning_rate is not None or config.dense.head_learning_rate is not None
        ),
        "model.labels must be left out for embeddings: their outputs have no names": config.model.labels is not None,
        "search.objective must be metric or divergence for embeddings, got loss: what they lose is their divergence "
        "from the dense model's": config.search.objective == "loss",
        "deploy.litert must be left out for embeddings: FlatBuffers are made of models that give labels only": (
            config.deploy.litert is not None
        ),
    }
    for rule, broken in rules.items():
        if broken:
            raise ConfigError(rule)

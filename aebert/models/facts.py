"""What was understood of a checkpoint, in plain values that can be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aebert.models.candidate import Candidate
from aebert.models.counting import shape_of
from aebert.models.shape import ModelShape
from aebert.models.vocabulary import is_cased, lowercases


@dataclass(frozen=True)
class CheckpointFacts:
    """What a checkpoint was understood to be.

    family, stored_class: of transformers. shape: of the encoder. parameters: of the whole model.
    head_kept: whether the output layer is the checkpoint's own. head: where it is from, or why a new one starts.
    outputs: the checkpoint's name of each label of the task; empty where the layer is new or the outputs are unnamed.
    files, dtypes: of the weights, before they were turned into float32.
    tokenizer: its class. vocabulary, embeddings: number of pieces, and of embeddings. cased: whether the vocabulary
      tells capitals from small letters, None where it has too few letters to say; lowercases: whether the tokenizer
      makes small letters of all.
    positions: most tokens of a row. notes: what else a user should know, one line each.
    """

    family: str
    stored_class: str
    shape: ModelShape
    parameters: int
    head_kept: bool
    head: str
    outputs: Mapping[str, str]
    files: tuple[str, ...]
    dtypes: tuple[str, ...]
    tokenizer: str
    vocabulary: int
    embeddings: int
    cased: bool | None
    lowercases: bool
    positions: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def facts_of(candidate: Candidate, notes: tuple[str, ...]) -> CheckpointFacts:
    """Describe a candidate that has passed all checks, with their notes."""
    tokenizer, head = candidate.tokenizer, candidate.head
    names = (candidate.given or candidate.outputs.names) if head.kept else None
    labels = zip(candidate.spec.output_names, head.order or (), strict=False)
    return CheckpointFacts(
        family=candidate.family.model_type,
        stored_class=candidate.stored.__name__,
        shape=shape_of(candidate.model),
        parameters=sum(parameter.numel() for parameter in candidate.model.parameters()),
        head_kept=head.kept,
        head=head.reason,
        outputs={label: names[index] for label, index in labels} if names else {},
        files=candidate.weights.files,
        dtypes=tuple(sorted({str(one.dtype).removeprefix("torch.") for one in candidate.taken.values()})),
        tokenizer=type(tokenizer).__name__,
        vocabulary=len(tokenizer),
        embeddings=int(candidate.config.vocab_size),
        cased=is_cased(list(tokenizer.get_vocab())),
        lowercases=lowercases(tokenizer),
        positions=candidate.positions,
        notes=notes,
    )

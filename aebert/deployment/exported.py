"""The results of a model's export: which graph was kept, what was fused in it, and how it was quantized.

They are plain values, because reports of studies on disk read them without loading torch or ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from aebert.deployment.choice import Tried

NO_EMBEDDINGS = "embeddings are not fused: "  # the beginning of the note that says why


@dataclass(frozen=True)
class Fused:
    """How many parts of one kind became a single node each, and how many there are."""

    fused: int
    of: int

    def __str__(self) -> str:
        return f"{self.fused} of {self.of}"


@dataclass(frozen=True)
class Fusion:
    """What was fused in a graph.

    norms: fused with the sum before them; the norm of the embeddings counts with the embeddings. notes: what could not
    be fused, or was not there to be fused, with one reason each.
    """

    attentions: Fused
    gelus: Fused
    norms: Fused
    embeddings: Fused
    notes: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether everything was fused."""
        return all(part.fused == part.of for part in (self.attentions, self.gelus, self.norms, self.embeddings))

    def describe(self) -> str:
        """One line: `12 of 12 attentions, …`."""
        names = ("attentions", "gelus", "norms", "embeddings")
        return ", ".join(f"{getattr(self, name)} {name}" for name in names)

    def with_embeddings(self, reason: str | None) -> Fusion:
        """The same after `add_embeddings`, which returned `reason`."""
        notes = [note for note in self.notes if not note.startswith(NO_EMBEDDINGS)]
        fused = Fused(int(reason is None), self.embeddings.of)
        return replace(self, embeddings=fused, notes=(*notes, *([f"{NO_EMBEDDINGS}{reason}"] if reason else [])))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        return {**asdict(self), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fusion:
        """Inverse of `to_dict`."""
        parts = {name: Fused(**values[name]) for name in ("attentions", "gelus", "norms", "embeddings")}
        return cls(**parts, notes=tuple(values["notes"]))


@dataclass(frozen=True)
class KeptGraphs:
    """Which graph, `plain` or `fused`, ships in float32, and which one is quantized.

    int8_source: None where nothing is quantized. fused_times_faster: for each of the two, where both graphs were timed.
    """

    float32: str
    int8_source: str | None = None
    fused_times_faster: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, without those that are not known; `from_dict` is the inverse."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> KeptGraphs:
        """Inverse of `to_dict`."""
        return cls(**values)


@dataclass(frozen=True)
class Quantization:
    """The quantized files of a model that were tried, and the variant of the one that ships.

    cpu: the processor they were timed on, in words. max_loss: points (× 100) that a file was allowed to lose.
    """

    cpu: str
    max_loss: float
    chosen: str
    tried: tuple[Tried, ...]

    @property
    def shipped(self) -> Tried:
        """The file that ships."""
        (one,) = (one for one in self.tried if one.variant == self.chosen)
        return one

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        tried = [one.to_dict() for one in self.tried]
        return {"cpu": self.cpu, "max_loss": self.max_loss, "chosen": self.chosen, "tried": tried}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Quantization:
        """Inverse of `to_dict`."""
        return cls(**{**values, "tried": tuple(map(Tried.from_dict, values["tried"]))})


@dataclass(frozen=True)
class ExportedForms:
    """How one model was exported.

    parity: of the plain graph with the model, as plain values of `aebert.deployment.parity`; fused_parity: of the fused
    graph. fusion: None if no fused graph was asked for. quantization: None if no quantized file was asked for.
    """

    parity: Mapping[str, Any]
    fusion: Fusion | None
    kept: KeptGraphs
    quantization: Quantization | None = None
    fused_parity: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` is the inverse."""
        fusion = None if self.fusion is None else self.fusion.to_dict()
        if fusion is not None and self.fused_parity is not None:
            fusion["parity"] = dict(self.fused_parity)
        quantized = {} if self.quantization is None else {"quantization": self.quantization.to_dict()}
        return {"parity": dict(self.parity), "fusion": fusion, "kept": self.kept.to_dict(), **quantized}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ExportedForms:
        """Inverse of `to_dict`."""
        fusion, quantization = values["fusion"], values.get("quantization")
        return cls(
            parity=values["parity"],
            fusion=None if fusion is None else Fusion.from_dict(fusion),
            kept=KeptGraphs.from_dict(values["kept"]),
            quantization=None if quantization is None else Quantization.from_dict(quantization),
            fused_parity=None if fusion is None else fusion.get("parity"),
        )

"""In which form a file of a model ships, and whether a latency table is of that form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aebert.deployment.exported import ExportedForms

FLOAT32 = "float32"
# A latency table has files of the plain graph: float32, or quantized in one of these ways, which take the same time.
_PRICED = (FLOAT32, "dynamic-int8", "dynamic-int8-per-matrix")


@dataclass(frozen=True)
class ShippedForm:
    """How a file was made.

    quantization: `float32`, or the variant. graph: `plain` or `fused`. float32_layers: those of a quantized file that
    stay float32, as `layer (error)`.
    """

    quantization: str
    graph: str
    float32_layers: tuple[str, ...] = ()

    @classmethod
    def of(cls, forms: ExportedForms, *, quantized: bool) -> ShippedForm:
        """The form of a model's file, from what its export recorded."""
        if not quantized:
            return cls(FLOAT32, forms.kept.float32)
        assert forms.quantization is not None
        assert forms.kept.int8_source is not None
        best = forms.quantization.shipped
        return cls(best.variant, forms.kept.int8_source, best.excluded)

    @property
    def is_priced(self) -> bool:
        """Whether latency tables have files of this form."""
        return self.graph == "plain" and self.quantization in _PRICED and not self.float32_layers

    def describe(self) -> str:
        """One line: `dynamic-int8, fused graph, 2 layers in float32`."""
        count = len(self.float32_layers)
        left = f", {count} layer{'s' if count > 1 else ''} in float32" if count else ""
        return f"{self.quantization}, {self.graph} graph{left}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "float32_layers": list(self.float32_layers)}


def unpriced(forms: Mapping[str, ExportedForms]) -> str:
    """A sentence that names the files of another form than the latency table predicts; empty if there are none.

    forms: of each model, as in a `Report`; models that are not in it are not named.
    """
    shipped = {name: ShippedForm.of(one, quantized=one.quantization is not None) for name, one in forms.items()}
    others = [f"{name} ({form.describe()})" for name, form in shipped.items() if not form.is_priced]
    if not others:
        return ""
    table = "dynamic int8" if any(one.quantization is not None for one in forms.values()) else FLOAT32
    return (
        f"Predictions are of {table} files of plain graphs with no layer left out. These have another form, so that "
        f"only what was measured counts: {', '.join(others)}."
    )

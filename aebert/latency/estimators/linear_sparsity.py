"""Time in proportion to the parameters that are left, as BERT-A2 states it for an FPGA."""

from __future__ import annotations

from aebert.errors import ConfigError
from aebert.latency.estimators.estimator import Estimator, Milliseconds
from aebert.latency.estimators.work import Work
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import cost
from aebert.sections import Positive


class LinearSparsity(Estimator):
    """`dense_ms` · (1 - sparsity), for one encoder.

    dense_ms: of the dense encoder. encoder_params: parameters of that encoder, by which it is known.
    Source: BERT-A2 (github.com/bosho86/BERTA2), which counts weights set to zero; here a smaller encoder counts alike.
    """

    dense_ms: Milliseconds
    encoder_params: Positive

    caveats = ("linear in the share of parameters kept: no floor, no overhead, no rounding to tiles",)

    def check(self, work: Work, architecture: Architecture) -> None:
        """Only the encoder that the dense time is of, one sequence at a time."""
        params = _encoder_params(work)
        if params != self.encoder_params:
            raise ConfigError(
                f"linear_sparsity holds for the encoder of {self.encoder_params:,.0f} parameters that its dense_ms is "
                f"of, got one of {params:,} (a kind that counts products, such as tiled_fpga, takes any)"
            )
        if work.batch != 1:
            raise ConfigError(f"linear_sparsity holds for batch 1, got {work.batch} (tiled_fpga takes any)")

    def fixed_ms(self, work: Work) -> float:
        """The share of biases and norms."""
        return self.dense_ms * work.shape.fixed_params / _encoder_params(work)

    def block_ms(self, work: Work, block: int, width: int) -> float:
        """The block's share of the parameters."""
        unit = (*work.shape.head_params, *work.shape.ffn_params)[block]
        return self.dense_ms * width * unit / _encoder_params(work)

    def with_zeros(self, milliseconds: float, share: float) -> float:
        """Zeros cost nothing."""
        return milliseconds * (1.0 - share)


def _encoder_params(work: Work) -> int:
    return cost(Architecture.dense(work.shape), work.shape, 1).encoder_params

"""What is measured of a dense model's file and of a sub-network's, to explain their speeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aebert.deployment.cpu import Cpu
from aebert.explain.export_choice import ExportChoice
from aebert.explain.node_times import QUANTIZED_OPS, Group, NodeTime

# int8 products that fit in the place of one float32 product; reached only by instructions that add four at once.
INT8_LANES = 4.0


@dataclass(frozen=True)
class WidthTrial:
    """A product with a width that is no multiple of the alignment, and the same one at the next multiples.

    count: number of products of this size in the file. milliseconds, aligned_ms: of one product, measured interleaved.
    """

    inner: int
    columns: int
    aligned_inner: int
    aligned_columns: int
    count: int
    milliseconds: float
    aligned_ms: float

    @property
    def lost_ms(self) -> float:
        """By how much all narrower products take longer than the wider ones; 0 where they don't."""
        return self.count * max(0.0, self.milliseconds - self.aligned_ms)


@dataclass(frozen=True)
class FileFacts:
    """What was measured of one file. milliseconds: median by number of threads. nodes: with the most threads."""

    name: str
    milliseconds: Mapping[int, float]
    nodes: tuple[NodeTime, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a request."""
        return sum(node.macs for node in self.nodes)

    @property
    def quantized(self) -> bool:
        """Whether products are computed in int8."""
        return any(node.op in QUANTIZED_OPS for node in self.nodes)

    def of(self, group: Group) -> float:
        """Milliseconds of a group of nodes: the measured time, times the group's share of it by the profiler."""
        return self._scale() * sum(node.milliseconds for node in self.nodes if node.group == group)

    def of_ops(self, ops: Iterable[str], group: Group | None = None) -> float:
        """The same for some kinds of nodes, in all groups or in one."""
        kinds = frozenset(ops)
        mine = (node for node in self.nodes if node.op in kinds and group in (None, node.group))
        return self._scale() * sum(node.milliseconds for node in mine)

    def count(self, ops: frozenset[str]) -> int:
        """How many nodes of these kinds are executed."""
        return sum(node.op in ops for node in self.nodes)

    def _scale(self) -> float:
        total = sum(node.milliseconds for node in self.nodes)
        return self.milliseconds[max(self.milliseconds)] / total if total else 0.0


@dataclass(frozen=True)
class Facts:
    """Both files, measured in one interleaved run.

    expected: the expected speedup, and expected_by: what it is computed from. int8_gain: how many times
    faster the largest product is in int8 than in float32; None unless only the sub-network is quantized. export: which
    graph was kept for the sub-network; None where that is not recorded. busy_share: share of the runs during which
    other processes used the machine.
    """

    dense: FileFacts
    small: FileFacts
    cpu: Cpu
    expected: float
    expected_by: str
    widths: tuple[WidthTrial, ...] = ()
    int8_gain: float | None = None
    export: ExportChoice | None = None
    busy_share: float = 0.0

    @property
    def threads(self) -> int:
        """The number of threads that is asked about."""
        return max(self.small.milliseconds)

    @property
    def dense_ms(self) -> float:
        """Milliseconds of the dense file with these threads."""
        return self.dense.milliseconds[self.threads]

    @property
    def small_ms(self) -> float:
        """Milliseconds of the sub-network's file with these threads."""
        return self.small.milliseconds[self.threads]

    @property
    def measured(self) -> float:
        """Measured speedup with these threads."""
        return self.dense_ms / self.small_ms

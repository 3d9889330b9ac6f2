"""Why a sub-network is not as much faster as it is smaller: causes that measurements prove, with what to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aebert.explain.export_choice import ExportChoice
from aebert.explain.facts import INT8_LANES, Facts, FileFacts
from aebert.explain.node_times import Group
from aebert.registry import Registry

# A cause must account for at least this share of the sub-network's time.
LEAST_SHARE = 0.05
# Fusion counts as lost where the nodes that stayed apart take at least this share: quantizing splits off the norm of
# the embeddings, which takes less. Attention always counts, since unfused it is also copied and transposed.
LEAST_APART = 0.01
# Below this share of the expected speedup there is something to explain.
AS_EXPECTED = 0.95
# Threads are a cause when the speedup on one thread is at least this many times that on all of them.
LEAST_THREADS = 1.1
# By kind: the single nodes that stand for several, and the parts that are there instead where nothing was fused.
FUSIONS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "attention": (frozenset({"Attention", "MultiHeadAttention", "QAttention"}), frozenset({"Softmax"})),
    "GELU": (frozenset({"Gelu", "BiasGelu", "FastGelu", "QuickGelu"}), frozenset({"Erf"})),
    "skip-layer-norm": (
        frozenset({"SkipLayerNormalization", "EmbedLayerNormalization"}),
        frozenset({"LayerNormalization"}),
    ),
}


@dataclass(frozen=True)
class Cause:
    """A reason for a speedup below the expected one. evidence: numbers that prove it. remedy: what to do."""

    name: str
    evidence: str
    remedy: str


@dataclass(frozen=True)
class Explanation:
    """A speedup, explained. expected, measured: speedups over the dense file. causes: in the order of `CAUSES`.

    busy_share: share of the runs during which other processes used the machine.
    """

    dense: str
    small: str
    threads: int
    dense_ms: float
    small_ms: float
    expected: float
    expected_by: str
    measured: float
    busy_share: float
    causes: tuple[Cause, ...]

    @property
    def as_expected(self) -> bool:
        """Whether there is nothing to explain."""
        return self.measured >= AS_EXPECTED * self.expected

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "as_expected": self.as_expected}

    def lines(self) -> list[str]:
        """The explanation as lines for the terminal."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        lines = [
            f"{self.small} {self.small_ms:.2f} ms, {self.dense} {self.dense_ms:.2f} ms, {threads}",
            f"expected {self.expected:.2f}× ({self.expected_by})",
            f"measured {self.measured:.2f}×",
        ]
        if self.busy_share:
            lines.append(f"warning: other processes were busy in {100 * self.busy_share:.0f} % of the runs; repeat it")
        if self.as_expected:
            return [*lines, "as expected: nothing to explain"]
        for cause in self.causes:
            lines += [f"cause: {cause.name}", f"  evidence: {cause.evidence}", f"  do: {cause.remedy}"]
        return lines if self.causes else [*lines, "no cause could be proved"]


def explain(facts: Facts) -> Explanation:
    """Expected against measured speedup, and every cause that the facts prove; none where there is no gap."""
    gap = facts.measured < AS_EXPECTED * facts.expected
    found = [CAUSES[name](facts) for name in CAUSES] if gap else []
    return Explanation(
        dense=facts.dense.name,
        small=facts.small.name,
        threads=facts.threads,
        dense_ms=facts.dense_ms,
        small_ms=facts.small_ms,
        expected=facts.expected,
        expected_by=facts.expected_by,
        measured=facts.measured,
        busy_share=facts.busy_share,
        causes=tuple(cause for cause in found if cause is not None),
    )


CAUSES: Registry[Callable[[Facts], Cause | None]] = Registry("cause")


@CAUSES.register("lost fusion")
def lost_fusion(facts: Facts) -> Cause | None:
    """The sub-network has more unfused nodes of a kind than the dense model, although it has no more blocks."""
    lost = _lost(facts)
    if not lost:
        return None
    counts = [f"{kind} {_fused(facts.small, kind)}, dense {_fused(facts.dense, kind)}" for kind in lost]
    apart = facts.small.of_ops(part for kind in lost for part in FUSIONS[kind][1])
    return Cause(
        "lost fusion",
        f"fused nodes that ONNX Runtime executes: {'; '.join(counts)}; nodes that stayed apart take {apart:.2f} ms",
        _fusion_remedy(facts.export),
    )


def _fusion_remedy(export: ExportChoice | None) -> str:
    """What to do about unfused nodes, given how the file was exported."""
    if export is None:
        return (
            "export it with `aebert export`, which times the plain and the fused graph and keeps the faster; nothing "
            "beside the file says how it was made, and optimizing for another architecture or quantizing loses fusion"
        )
    if export.graph == "fused":
        return (
            "nothing about fusion: export already used the fused graph, and these nodes could not be fused or were "
            "split again by quantizing (see deploy.variants)"
        )
    if export.fuse == "never":
        return "set deploy.fuse to auto (it was never) and export again, which times both graphs and keeps the faster"
    ratio = export.fused_times_faster
    speed = "" if ratio is None else f", which ran at {ratio:.3g} times the speed"
    return f"nothing about fusion: export timed this graph against the fused one{speed}, and kept the faster"


def _lost(facts: Facts) -> list[str]:
    more = (kind for kind, (_, parts) in FUSIONS.items() if facts.small.count(parts) > facts.dense.count(parts))
    least_ms = LEAST_APART * facts.small_ms
    return [kind for kind in more if kind == "attention" or facts.small.of_ops(FUSIONS[kind][1]) >= least_ms]


def _fused(file: FileFacts, kind: str) -> str:
    whole, parts = map(file.count, FUSIONS[kind])
    return f"{whole} of {whole + parts}"


@CAUSES.register("unaligned widths")
def unaligned_widths(facts: Facts) -> Cause | None:
    """Products that would be faster if they were wider."""
    slower = [trial for trial in facts.widths if trial.lost_ms > 0]
    lost = sum(trial.lost_ms for trial in slower)
    if lost < LEAST_SHARE * facts.small_ms:
        return None
    worst = max(slower, key=lambda trial: trial.lost_ms)
    return Cause(
        "unaligned widths",
        f"{sum(trial.count for trial in slower)} products are slower than wider ones and lose {lost:.2f} ms; "
        f"{worst.inner} × {worst.columns} takes {worst.milliseconds:.3f} ms, {worst.aligned_inner} × "
        f"{worst.aligned_columns} {worst.aligned_ms:.3f} ms",
        "search with an aligned step (a search space with ffn.step 16 or more), which costs no time",
    )


@CAUSES.register("attention floor")
def attention_floor(facts: Facts) -> Cause | None:
    """Attention scores and softmax that did not shrink with the rest."""
    return _floor(facts, "attention", "remove heads rather than neurons, or shorten sequences: attention costs length²")


@CAUSES.register("fixed floor")
def fixed_floor(facts: Facts) -> Cause | None:
    """Embeddings, norms, activations and copies, whose cost does not depend on heads and neurons."""
    return _floor(facts, "rest", "drop whole blocks rather than thin all of them, or start from a narrower model")


def _floor(facts: Facts, group: Group, remedy: str) -> Cause | None:
    lost = _lost(facts)
    if "attention" in lost:  # unfused attention also copies and transposes, which can't be distinguished from a floor
        return None
    mine, full = facts.small.of(group), facts.dense.of(group)
    apart = facts.small.of_ops((part for kind in lost for part in FUSIONS[kind][1]), group)
    if mine - apart - full / facts.expected < LEAST_SHARE * facts.small_ms:
        return None
    return Cause(
        "attention floor" if group == "attention" else "fixed floor",
        f"{_what(facts.small, group)} take {mine:.2f} of {facts.small_ms:.2f} ms, in the dense file {full:.2f} of "
        f"{facts.dense_ms:.2f}: {full / mine:.2f}× as fast where {facts.expected:.2f}× was expected; if all else were "
        f"free, the speedup would be {facts.dense_ms / mine:.1f}×",
        remedy,
    )


def _what(file: FileFacts, group: Group) -> str:
    """The three kinds of nodes that take most of a group's time."""
    times: dict[str, float] = defaultdict(float)
    for node in file.nodes:
        if node.group == group:
            times[node.op] += node.milliseconds
    most = sorted(times, key=lambda op: -times[op])[:3]
    return "attention's scores" if group == "attention" else f"nodes without products ({', '.join(most)})"


@CAUSES.register("threads")
def threads(facts: Facts) -> Cause | None:
    """The sub-network gains less from threads than the dense model."""
    if facts.threads == 1 or 1 not in facts.small.milliseconds:
        return None
    alone = facts.dense.milliseconds[1] / facts.small.milliseconds[1]
    if alone < LEAST_THREADS * facts.measured:
        return None
    gain, dense_gain = (file.milliseconds[1] / file.milliseconds[facts.threads] for file in (facts.small, facts.dense))
    return Cause(
        "threads",
        f"{alone:.2f}× with 1 thread, {facts.measured:.2f}× with {facts.threads}: from {facts.threads} threads the "
        f"sub-network gains {gain:.2f}×, the dense file {dense_gain:.2f}×",
        "serve several requests at once with 1 thread each"
        if gain > 1
        else "run it with 1 thread: more threads make it slower",
    )


@CAUSES.register("int8 without dot products")
def int8_without_dot_products(facts: Facts) -> Cause | None:
    """Products that int8 hardly speeds up, on a processor that has no instruction for them."""
    if facts.int8_gain is None or facts.cpu.has_int8_products or facts.int8_gain >= AS_EXPECTED * INT8_LANES:
        return None
    return Cause(
        "int8 without dot products",
        f"{facts.cpu.describe()}; the largest product is {facts.int8_gain:.2f}× as fast in int8 as in float32, "
        f"with such instructions it would be {INT8_LANES:.0f}×",
        "ship float32 where it is faster, or measure on a processor with VNNI, AMX, or NEON dot products",
    )

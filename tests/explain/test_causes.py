"""Facts in which exactly one cause is present, written out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from aebert.deployment.cpu import Cpu
from aebert.explain.causes import CAUSES, Explanation, explain
from aebert.explain.export_choice import ExportChoice
from aebert.explain.facts import Facts, FileFacts, WidthTrial
from aebert.explain.node_times import NodeTime

VNNI, AVX2 = Cpu("x86_64", ("avx512_vnni",)), Cpu("x86_64", ("avx2",))
FUSED = ("MultiHeadAttention", "BiasGelu", "SkipLayerNormalization")


def file(
    name: str, times: Mapping[int, float], *, products: float, attention: float, rest: float, product: str = "MatMul"
) -> FileFacts:
    """Fused nodes; 100 MACs per ms of products."""
    nodes = (
        NodeTime(
            op=product, group="products", milliseconds=products, macs=int(100 * products), rows=1, inner=16, columns=16
        ),
        NodeTime(op="MultiHeadAttention", group="attention", milliseconds=attention),
        NodeTime(op="BiasGelu", group="rest", milliseconds=rest / 2),
        NodeTime(op="SkipLayerNormalization", group="rest", milliseconds=rest / 2),
    )
    return FileFacts(name=name, milliseconds=times, nodes=nodes)


def facts() -> Facts:
    """10 ms, and a sub-network of half of everything that takes half of it: nothing to explain."""
    return Facts(
        dense=file("dense.onnx", {1: 10.0}, products=8, attention=1, rest=1),
        small=file("small.onnx", {1: 5.0}, products=4, attention=0.5, rest=0.5),
        cpu=VNNI,
        expected=2.0,
        expected_by="counting",
    )


def lost_fusion() -> Facts:
    base = facts()
    apart = NodeTime(op="LayerNormalization", group="rest", milliseconds=2.5)
    small = FileFacts(name="small.onnx", milliseconds={1: 7.0}, nodes=(*base.small.nodes[:3], apart))
    return replace(base, small=small)


def unaligned() -> Facts:
    base = facts()
    small = file("small.onnx", {1: 7.0}, products=6, attention=0.5, rest=0.5)
    trials = (
        WidthTrial(
            inner=769, columns=40, aligned_inner=784, aligned_columns=48, count=2, milliseconds=2.0, aligned_ms=1.0
        ),
        WidthTrial(
            inner=768, columns=47, aligned_inner=768, aligned_columns=48, count=5, milliseconds=0.1, aligned_ms=0.2
        ),
    )
    return replace(base, small=small, widths=trials)


def attention() -> Facts:
    return replace(facts(), small=file("small.onnx", {1: 6.0}, products=4, attention=1.5, rest=0.5))


def fixed() -> Facts:
    return replace(facts(), small=file("small.onnx", {1: 6.0}, products=4, attention=0.5, rest=1.5))


def threads() -> Facts:
    base = facts()
    return replace(
        base,
        dense=replace(base.dense, milliseconds={1: 20.0, 4: 10.0}),
        small=file("small.onnx", {1: 10.0, 4: 7.0}, products=6, attention=0.5, rest=0.5),
    )


def int8() -> Facts:
    base = facts()
    small = file("small.onnx", {1: 4.0}, products=3.75, attention=0.125, rest=0.125, product="MatMulIntegerToFloat")
    return replace(base, small=small, cpu=AVX2, expected=8.0, int8_gain=1.5)


ONE: dict[str, Callable[[], Facts]] = {
    "lost fusion": lost_fusion,
    "unaligned widths": unaligned,
    "attention floor": attention,
    "fixed floor": fixed,
    "threads": threads,
    "int8 without dot products": int8,
}


def test_every_cause_has_its_case() -> None:
    assert list(ONE) == list(CAUSES)


@pytest.mark.parametrize("name", list(ONE))
def test_the_one_cause_that_is_there_is_the_one_that_is_named(name: str) -> None:
    assert [cause.name for cause in explain(ONE[name]()).causes] == [name]


def only(name: str) -> Explanation:
    return explain(ONE[name]())


def test_lost_fusion_counts_nodes_and_their_time() -> None:
    (cause,) = only("lost fusion").causes
    assert "skip-layer-norm 0 of 1, dense 1 of 1" in cause.evidence
    # 2.5 of 7.25 profiled ms, of 7 measured
    assert "stayed apart take 2.41 ms" in cause.evidence


@pytest.mark.parametrize(
    ("export", "remedy"),
    [
        (
            None,
            "export it with `aebert export`, which times the plain and the fused graph and keeps the faster; nothing",
        ),
        (
            ExportChoice(graph="plain", fuse="auto", fused_times_faster=0.93),
            "nothing about fusion: export timed this graph against the fused one, which ran at 0.93 times the speed, "
            "and kept the faster",
        ),
        (
            ExportChoice("plain", "auto"),
            "nothing about fusion: export timed this graph against the fused one, and kept the faster",
        ),
        (ExportChoice("plain", "never"), "set deploy.fuse to auto (it was never) and export again, which times both"),
        (
            ExportChoice(graph="fused", fuse="auto", fused_times_faster=1.3),
            "nothing about fusion: export already used the fused graph, and these nod",
        ),
    ],
)
def test_what_to_do_about_lost_fusion_is_what_export_did_not_do_yet(export: ExportChoice | None, remedy: str) -> None:
    (cause,) = explain(replace(lost_fusion(), export=export)).causes
    assert cause.remedy.startswith(remedy)


def test_a_norm_that_quantizing_split_off_is_not_lost_fusion() -> None:
    base = fixed()
    small = replace(
        base.small, nodes=(*base.small.nodes, NodeTime(op="LayerNormalization", group="rest", milliseconds=0.05))
    )
    assert [cause.name for cause in explain(replace(base, small=small)).causes] == ["fixed floor"]


def test_unaligned_widths_name_the_worst_and_what_is_lost() -> None:
    (cause,) = only("unaligned widths").causes
    # the second size is cheaper than its wider one, so it is no evidence
    assert cause.evidence.startswith("2 products are slower than wider ones and lose 2.00 ms; 769 × 40 takes 2.000 ms")
    assert "784 × 48 1.000 ms" in cause.evidence


def test_floors_tell_both_times_and_the_limit() -> None:
    (cause,) = only("fixed floor").causes
    assert "(BiasGelu, SkipLayerNormalization) take 1.50 of 6.00 ms, in the dense file 1.00 of 10.00" in cause.evidence
    assert "0.67× as fast where 2.00× was expected" in cause.evidence
    assert "the speedup would be 6.7×" in cause.evidence
    assert only("attention floor").causes[0].evidence.startswith("attention's scores take 1.50 of 6.00 ms")


def test_threads_are_compared_at_one_and_at_all() -> None:
    (cause,) = only("threads").causes
    assert cause.evidence == (
        "2.00× with 1 thread, 1.43× with 4: from 4 threads the sub-network gains 1.43×, the dense file 2.00×"
    )
    assert "several requests at once" in cause.remedy
    worse = threads()
    worse = replace(worse, small=replace(worse.small, milliseconds={1: 6.0, 4: 7.0}))
    assert explain(worse).causes[-1].remedy == "run it with 1 thread: more threads make it slower"


def test_int8_names_the_processor_and_what_was_measured() -> None:
    (cause,) = only("int8 without dot products").causes
    assert "AVX2: no int8 dot product" in cause.evidence
    assert "1.50× as fast in int8 as in float32, with such instructions it would be 4×" in cause.evidence


@pytest.mark.parametrize(
    "other",
    [
        replace(int8(), cpu=VNNI),
        replace(int8(), int8_gain=3.9),
        replace(int8(), int8_gain=None),
        replace(
            unaligned(),
            widths=(
                WidthTrial(
                    inner=769,
                    columns=40,
                    aligned_inner=784,
                    aligned_columns=48,
                    count=1,
                    milliseconds=1.0,
                    aligned_ms=0.9,
                ),
            ),
        ),
        replace(threads(), dense=replace(threads().dense, milliseconds={1: 15.0, 4: 10.0})),
    ],
)
def test_what_is_not_proved_is_not_named(other: Facts) -> None:
    found = explain(other)
    assert not found.as_expected
    assert found.causes == ()
    assert found.lines()[-1] == "no cause could be proved"


def test_a_speedup_as_expected_is_not_explained() -> None:
    found = explain(replace(facts(), widths=unaligned().widths))
    assert found.as_expected
    assert found.lines() == [
        "small.onnx 5.00 ms, dense.onnx 10.00 ms, 1 thread",
        "expected 2.00× (counting)",
        "measured 2.00×",
        "as expected: nothing to explain",
    ]


def test_lost_attention_hides_the_floors() -> None:
    """Unfused attention copies and transposes: that is no floor."""
    base = fixed()
    apart = (
        NodeTime(op="Softmax", group="attention", milliseconds=0.4),
        NodeTime(op="Transpose", group="rest", milliseconds=0.1),
    )
    small = replace(base.small, nodes=(*base.small.nodes, *apart))
    assert [cause.name for cause in explain(replace(base, small=small)).causes] == ["lost fusion"]


def test_the_lines_give_cause_evidence_and_remedy() -> None:
    lines = explain(replace(fixed(), busy_share=0.3)).lines()
    assert "warning: other processes were busy in 30 % of the runs; repeat it" in lines
    where = lines.index("cause: fixed floor")
    assert lines[where + 1].startswith("  evidence: nodes without products")
    assert lines[where + 2].startswith("  do: drop whole blocks")


def test_an_explanation_is_json() -> None:
    values = json.loads(json.dumps(only("threads").to_dict()))
    assert values["causes"][0]["name"] == "threads"
    assert values["as_expected"] is False
    assert values["measured"] == pytest.approx(10 / 7)

"""The benchmark scripts on toys: what they count and sum up, not what they measure."""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from scipy.stats import spearmanr

import aebert.deployment.fusion  # noqa: F401  its first import lengthens sys.path, which the fixture below would undo
from aebert.models.counting import shape_of
from aebert.models.evaluation import Prepared, evaluate, prepare
from aebert.models.families import family_of
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.pruning.cost import cost
from aebert.pruning.criteria import Importance, select
from aebert.pruning.moments import collect_moments
from aebert.pruning.pruners import CriterionPruner
from aebert.pruning.slicing import masked
from aebert.search.budget import make_budget
from aebert.search.judge import Judge
from aebert.search.outcomes import Outcomes
from aebert.search.record import StudyInfo, TrialRecord
from aebert.search.scoring import Scored
from aebert.search.setup import SearchSetup
from aebert.search.space import Range, SearchSpace, make_grid
from aebert.tasks.encoding import Batch
from aebert.tasks.task import TaskSpec

FOLDER = Path(__file__).parents[2] / "experiments" / "benchmarks"
SCRIPTS = (
    "quality_without_training",
    "ladder",
    "scoring_speed",
    "rank_correlation",
    "objectives",
    "samplers",
    "growth",
    "library_groups",
    "deployment",
    "int8_cost",
    "vocabulary",
)
SPEC = TaskSpec(
    name="toy",
    kind="classification",
    columns=("text",),
    label_column="label",
    labels=("bad", "good"),
    metric="accuracy",
    headline="accuracy",
)
SHAPE = ModelShape(
    family="bert",
    hidden=8,
    head_size=4,
    ffn_per_layer=1,
    heads=(2, 2),
    ffn=(16, 16),
    head_params=(140, 140),
    ffn_params=(17, 17),
    head_macs=(128, 128),
    ffn_macs=(16, 16),
    fixed_params=80,
    fixed_macs=0,
    other_params=100,
)
GRID = make_grid(SearchSpace(source="toy", heads=Range(), ffn=Range(step=2)), SHAPE)
BUDGET = make_budget("macs", 0.5, 8, SHAPE, GRID)


@pytest.fixture(autouse=True)
def _as_scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Scripts import their neighbours as Python does for a script that it runs; studies are made without a word."""
    monkeypatch.syspath_prepend(FOLDER)
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def script(name: str) -> Any:
    return importlib.import_module(name)


def record(number: int, architecture: Architecture, score: float = 0.5, **other: Any) -> TrialRecord:
    made = TrialRecord(
        number=number,
        origin="sampled",
        architecture=architecture,
        budget=0.5,
        score=score,
        metrics={"accuracy": score},
        loss=0.3,
        params=1,
        sparsity=0.5,
        macs=1,
        macs_removed=0.5,
        seconds=0.0,
    )
    return replace(made, **other)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_says_what_it_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        script(name).main(["--help"])
    assert stopped.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--results" in shown
    assert " ".join(script(name).__doc__.split("\n", 1)[0].split()) in shown


# --- common -----------------------------------------------------------------------------------------------------------


def test_a_ledger_does_nothing_twice_also_after_a_kill(tmp_path: Path) -> None:
    path, asked = tmp_path / "sub" / "ledger.jsonl", []

    def work(value: float) -> dict[str, Any]:
        asked.append(value)
        return {"value": value, "pair": (1, 2)}

    ledger = script("common").Ledger(path)
    assert ledger.get("a", lambda: work(1.0)) == {"value": 1.0, "pair": [1, 2]}
    assert ledger.get("a", lambda: work(2.0)) == {"value": 1.0, "pair": [1, 2]}
    with path.open("a", encoding="utf-8") as file:
        file.write('{"key": "b", "val')  # killed here
    again = script("common").Ledger(path)
    assert "b" not in again
    assert again.get("b", lambda: work(3.0))["value"] == 3.0
    assert again.get("a", lambda: work(4.0))["value"] == 1.0
    assert asked == [1.0, 3.0]
    assert [json.loads(line)["key"] for line in path.read_text(encoding="utf-8").splitlines()] == ["a", "b"]


def test_work_that_fails_is_not_written_down(tmp_path: Path) -> None:
    ledger = script("common").Ledger(tmp_path / "ledger.jsonl")

    def fail() -> dict[str, Any]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        ledger.get("a", fail)
    assert "a" not in ledger


def test_a_table_has_aligned_columns() -> None:
    shown = script("common").table(["way", "seconds"], [["naive", 1.5], ["us", 10.25]])
    assert shown.splitlines() == ["way    seconds", "naive      1.5", "us       10.25"]


def test_a_spread_is_median_and_extremes() -> None:
    spread = script("common").Spread.of([3.0, 1.0, 2.0, 10.0])
    assert (spread.median, spread.low, spread.high) == (2.5, 1.0, 10.0)
    assert spread.show(1) == "2.5 (1.0–10.0)"


def test_random_architectures_differ_and_meet_the_budget() -> None:
    found = script("common").random_architectures(GRID, BUDGET, 12, seed=3)
    assert len(set(found)) == 12
    assert all(cost(one, SHAPE, 8).macs <= cost(Architecture.dense(SHAPE), SHAPE, 8).macs / 2 for one in found)
    assert found == script("common").random_architectures(GRID, BUDGET, 12, seed=3)


# --- quality without training -----------------------------------------------------------------------------------------


def right(*places: int, rows: int = 40) -> str:
    """Outcomes of a classifier that is right on these rows."""
    said = np.isin(np.arange(rows), places).astype(np.float32)
    return Outcomes(1 - said, np.column_stack([said, np.ones_like(said)])).encode()


def one_seed(quality: Any, library: range) -> Any:
    """Of 40 rows, the library is right on `library`, the dense model on the first 30, all others on the first 20."""
    rows = {method: range(20) for method in quality.METHODS} | {"library": library}
    found = {method: {0.5: {"score": len(of) / 40, "outcomes": right(*of)}} for method, of in rows.items()}
    return {"dense": {0.0: {"score": 0.75, "outcomes": right(*range(30))}}, **found}


def test_qualities_are_paired_with_their_rivals_over_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    quality = script("quality_without_training")
    answers = [one_seed(quality, range(28)), one_seed(quality, range(4, 36))]
    rows = {row["method"]: row for row in quality.summarize(Judge(SPEC), answers)}
    ours = rows["library"]
    assert (ours["score"], ours["lowest"], ours["highest"], ours["seeds"]) == (0.75, 0.7, 0.8, 2)
    assert ours["vs dense"]["difference"] == 0.0
    assert ours["vs dense"]["low"] < 0 < ours["vs dense"]["high"]
    assert ours["vs kwon"]["difference"] == 0.25
    assert ours["vs kwon"]["low"] > 0
    same = rows["uniform"]["vs kwon"]  # right on the very same rows
    assert (same["difference"], same["low"], same["high"]) == (0, 0, 0)
    assert "vs kwon" not in rows["kwon"]
    values = {"metric": "accuracy", "dense": 0.75, "results": list(rows.values())}
    quality.show("toy", values)
    shown = capsys.readouterr().out
    assert "report rows; dense 75.0" in shown
    ours_shown = next(line for line in shown.splitlines() if "library" in line).split()
    assert ours_shown[:6] == ["50", "%", "library", "2", "75.0", "70.0-80.0"]


def test_ladders_are_paired_with_the_library(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ladder = script("ladder")
    monkeypatch.setattr(ladder, "BUDGETS", (0.5,))

    def one_seed(*counts: int) -> dict[str, Any]:
        keys = ["dense", *(f"{method}, 0.5" for method in ladder.METHODS)]
        scores = {
            key: {"score": count / 40, "outcomes": right(*range(count))}
            for key, count in zip(keys, counts, strict=True)
        }
        return {"scores": scores, "seconds": {"library": 2.0, "rungs": 1.0}, "rungs": [0.5]}

    rows = {
        row["method"]: row
        for row in ladder.summarize(Judge(SPEC), [one_seed(36, 20, 24, 20, 32), one_seed(36, 22, 26, 22, 34)])
    }
    best = rows["ladder, repaired"]
    assert (best["score"], best["lowest"], best["highest"], best["seeds"]) == (0.825, 0.8, 0.85, 2)
    assert best["vs library"]["difference"] == pytest.approx(0.3)
    assert best["vs library"]["low"] > 0
    assert best["vs dense"]["difference"] == pytest.approx(-0.075)
    same = rows["ladder"]["vs library"]
    assert (same["difference"], same["low"], same["high"]) == (0, 0, 0)
    assert "vs library" not in rows["library"]
    ladder.show("toy", {"metric": "accuracy", "dense": 0.9, "results": list(rows.values()), "seconds": [1.0]})
    shown = next(line for line in capsys.readouterr().out.splitlines() if "ladder, repaired" in line).split()
    assert shown[:7] == ["50", "%", "ladder,", "repaired", "2", "82.5", "80.0-85.0"]


def test_qualities_are_of_the_seeds_that_have_the_method() -> None:
    quality = script("quality_without_training")
    one, other = one_seed(quality, range(28)), one_seed(quality, range(4, 36))
    other["uniform"], other["sequential"], one["sequential"] = {}, {}, {}
    rows = {row["method"]: row for row in quality.summarize(Judge(SPEC), [one, other])}
    assert {method: row["seeds"] for method, row in rows.items()} == {
        "uniform": 1,
        "aebert-recipe": 2,
        "kwon": 2,
        "library": 2,
    }
    other["kwon"] = {}
    rows = {row["method"]: row for row in quality.summarize(Judge(SPEC), [one, other])}
    assert rows["library"]["vs kwon"]["difference"] == pytest.approx(0.2)  # of the first seed
    assert rows["library"]["vs dense"]["difference"] == 0.0


def test_the_quality_benchmark_says_where_a_published_recipe_is_as_good(capsys: pytest.CaptureFixture[str]) -> None:
    quality = script("quality_without_training")

    def row(removed: float, method: str, difference: float, low: float) -> dict[str, Any]:
        paired = {"difference": difference, "low": low, "high": 0.5}
        shown = {"score": 0.5, "lowest": 0.5, "highest": 0.5, "seeds": 1}
        return {"macs_removed": removed, "method": method, **shown, "vs kwon": paired, "vs aebert-recipe": paired}

    ahead = [row(0.5, "library", 0.01, -0.1), row(0.65, "library", 0.1, 0.05), row(0.65, "uniform", -0.1, -0.2)]
    assert list(quality.shortfalls(ahead)) == []
    assert list(quality.shortfalls([row(0.3, "library", -0.01, -0.1), row(0.8, "library", 0.1, 0.0)])) == [
        "70% kept: behind aebert-recipe, -1.0 (-10.0..+50.0)",
        "70% kept: behind kwon, -1.0 (-10.0..+50.0)",
        "20% kept: ahead of aebert-recipe, but not beyond the interval, +10.0 (+0.0..+50.0)",
        "20% kept: ahead of kwon, but not beyond the interval, +10.0 (+0.0..+50.0)",
    ]
    quality.show("toy", {"metric": "accuracy", "dense": 0.75, "results": ahead})
    assert "library: nowhere behind a published recipe" in capsys.readouterr().out


def test_known_qualities_are_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quality, asked = script("quality_without_training"), []

    class Place:
        def __init__(self, base: Any, seed: int, candidates: int) -> None:
            assert (seed, candidates) == (3, 16)

        def report(self, method: str, target: float) -> dict[str, Any]:
            asked.append((method, target))
            if len(asked) == 4:
                raise KeyboardInterrupt
            return {"score": 0.5, "outcomes": right(), "architecture": {}}

    monkeypatch.setattr(quality, "Place", Place)
    search = SimpleNamespace(budget=SimpleNamespace(targets=(0.3, 0.5)))
    config, path = SimpleNamespace(name="toy", search=search), tmp_path / "ledger.jsonl"
    base = SimpleNamespace(run=SimpleNamespace(config=config))
    with pytest.raises(KeyboardInterrupt):
        quality.answer(base, 3, 16, script("common").Ledger(path))
    found = quality.answer(base, 3, 16, script("common").Ledger(path))
    wanted = [("dense", 0.0), *((method, target) for method in quality.METHODS for target in (0.3, 0.5))]
    assert asked[:4] == wanted[:4]
    assert asked[4:] == wanted[3:]
    assert [(method, target) for method, targets in found.items() for target in targets] == wanted
    known = quality.answer(base, 3, 16, script("common").Ledger(path), ["kwon"])  # shows all that is known
    assert known == found
    asked.clear()
    part = quality.answer(base, 3, 16, script("common").Ledger(tmp_path / "other"), ["kwon"])
    assert asked == [("dense", 0.0), ("kwon", 0.3), ("kwon", 0.5)]
    assert part["library"] == {}


# --- scoring speed ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy_setting(tiny_model: Any, tiny_tokenizer: Any, tiny_task: Any) -> Any:
    model = tiny_model("bert", labels=2)
    spec, rows = tiny_task("classification", 160)
    generator = np.random.default_rng(0)
    importance = Importance(tuple(generator.random((2, 4))), tuple(generator.random((2, 64))))

    def make() -> Any:
        pruner = CriterionPruner(model, importance)
        return script("scoring_ways").Setting(
            model, pruner, importance, tiny_tokenizer, spec, rows, 32, 256, 0, np.linspace(0, 0.5, len(rows))
        )

    return make


ARCHITECTURES = (Architecture((3, 1), (24, 40)), Architecture((0, 2), (64, 8)))


def test_zeroed_weights_do_what_masks_do(toy_setting: Any, padded_batch: dict[str, torch.Tensor]) -> None:
    setting, ways = toy_setting(), script("scoring_ways")
    selection = select(setting.importance, ARCHITECTURES[0])
    with torch.inference_mode():
        dense = setting.dense(**padded_batch).logits
        with masked(setting.dense, selection) as model:
            wanted = model(**padded_batch).logits
        copied = copy.deepcopy(setting.dense)
        ways.zero_weights(copied, selection)
        torch.testing.assert_close(copied(**padded_batch).logits, wanted)
    assert not torch.allclose(dense, wanted)


def test_all_ways_are_measured_on_the_same_rows(
    toy_setting: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    speed, setting = script("scoring_speed"), toy_setting()
    monkeypatch.setattr(script("scoring_ways"), "PADDED_TO", 48)
    best, rival = speed.best_first(setting, ARCHITECTURES)
    assert best in ARCHITECTURES
    assert len(rival) == 160
    result = speed.benchmark(setting, ARCHITECTURES, best, rival, rounds=2)
    ways = {one["way"]: one for one in result["ways"]}
    kinds = ["ours", "raced", "ours-bf16", "raced-bf16", "ours-int8", "raced-int8"]
    assert list(ways) == ["naive", "masks", *kinds, "products"]
    assert ways["ours-int8"]["rows_seen"] == 160
    assert [ways[name]["rows_seen"] for name in ("naive", "masks", "ours")] == [160, 160, 160]
    assert ways["naive"]["faster"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert result["agreement"]["loss"] < 1e-5
    assert result["bf16_rank_correlation"]["loss"] == pytest.approx(1.0)
    assert result["int8_rank_correlation"]["loss"] == pytest.approx(1.0)
    assert result["padding"]["naive"]["positions"] == 160 * 48
    assert result["padding"]["ours"]["padding_share"] < result["padding"]["naive"]["padding_share"]
    json.dumps(result)
    speed.show("toy", {**result, "threads": 1, "study": None})
    shown = capsys.readouterr().out
    assert "share of the matrix-product rate" in shown
    assert "rank correlation of int8 with float32" in shown


def test_ways_that_disagree_are_not_timed(toy_setting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ways = script("scoring_ways")
    monkeypatch.setattr(ways, "PADDED_TO", 48)
    monkeypatch.setattr(ways, "zero_weights", lambda model, selection: None)
    with pytest.raises(SystemExit, match="must agree on the loss"):
        ways.agreement(toy_setting(), ARCHITECTURES[0])


def test_products_are_counted_from_widths_and_positions(toy_setting: Any) -> None:
    ways, setting = script("scoring_ways"), toy_setting()
    rows = setting.race_rows(())
    shapes = [batch.tensors["input_ids"].shape for batch in rows.legs[0].batches]
    positions = sum(batch * length for batch, length in shapes)
    squares = sum(batch * length * length for batch, length in shapes)
    # hidden 32, head size 8: a head has 4 matrices of 8 · 32 weights, a neuron 2 of 32; 4 heads and 64 neurons are left
    assert ways.products(setting, rows, ARCHITECTURES[0]) == (positions * (4 * 1024 + 64 * 64), squares * 2 * 8 * 4)
    # an empty block has no products
    assert ways.products(setting, rows, ARCHITECTURES[1])[0] == positions * (2 * 1024 + 72 * 64)


def test_the_share_of_the_product_rate_counts_attention_as_work() -> None:
    speed = script("scoring_speed")
    results = [speed.Result(0.5, 0.5, 10)] * 2
    mine = speed.Times(np.array([[2.0, 2.0]]), np.array([[1.0, 1.0]]), results)
    bare = speed.Times(np.array([[1.0, 1.0]]), np.array([[1.0, 1.0]]), results)
    rates = speed.product_rates({"ours": mine, "products": bare}, [(80, 20), (80, 20)])
    assert rates["bare_macs_per_second"]["median"] == 80
    assert rates["scoring_macs_per_second"]["median"] == 50
    assert rates["share"]["median"] == pytest.approx(0.625)
    assert rates["share_linear"]["median"] == pytest.approx(0.5)
    assert rates["cpu_share"]["median"] == pytest.approx(1.25)


def test_ways_take_turns_and_come_first_in_turn() -> None:
    speed, calls = script("scoring_speed"), []

    def way(name: str) -> Any:
        def call(architecture: Architecture) -> Any:
            calls.append(name)
            return speed.Result(0.5, 0.5, 4)

        return call

    times = speed.measure({"naive": way("a"), "ours": way("b")}, ARCHITECTURES, 2)
    assert calls == ["a", "b", "a", "b", "b", "a", "b", "a", "a", "b"]  # the first two are not timed
    assert times["ours"].wall.shape == (2, 2)
    assert [one["rows_seen"] for one in speed.summary(times)] == [4, 4]


def test_padding_is_what_is_no_token() -> None:
    speed = script("scoring_ways")
    encoded = [{"input_ids": [1] * length} for length in (4, 2, 3)]
    batches = [Batch((0, 1), {"input_ids": torch.ones(2, 4)}), Batch((2,), {"input_ids": torch.ones(1, 3)})]
    found = speed.waste([Prepared(spec=SPEC, rows=[], windows=encoded, batches=batches)])
    assert (found["tokens"], found["positions"]) == (9, 11)
    assert found["padding_share"] == pytest.approx(2 / 11)


def test_shared_prefixes_by_hand() -> None:
    speed = script("study_facts")
    # at length 8 a head costs 128 + 2 · 4 · 8 = 192 per token, a neuron 16
    assert speed.layer_macs(Architecture((1, 2), (2, 4)), SHAPE, 8) == [192 + 32, 384 + 64]
    records = [
        record(0, Architecture((1, 2), (2, 4))),  # 224 + 448, nothing to share yet
        record(1, Architecture((1, 1), (2, 4))),  # first layer shared: 224 of 480
        record(2, Architecture((1, 1), (4, 4))),  # neither layer: 256 + 256
        record(3, Architecture((1, 1), (4, 4)), same_as=2),  # was not scored
    ]
    found = speed.prefix_sharing(records, SHAPE, 8)
    assert found["candidates"] == 3
    assert found["hit_rate"] == pytest.approx(1 / 3)
    assert found["macs_saved"] == pytest.approx(224 / (672 + 480 + 512))


def test_races_count_only_candidates_that_could_be_stopped() -> None:
    speed, one = script("study_facts"), Architecture((1, 1), (2, 2))
    records = [
        record(0, one, origin="uniform"),
        record(1, one, stopped_at=25),
        record(2, one, origin="neighbour"),
        record(3, one, same_as=2),
    ]
    assert speed.races(records, 100) == {"candidates": 2, "stopped_share": 0.5, "rows_share": 0.625}
    assert speed.races(records[:1], 100) == {"candidates": 0, "stopped_share": 0.0, "rows_share": 1.0}


# --- rank correlation -------------------------------------------------------------------------------------------------


def test_correlation_is_of_ranks() -> None:
    ranks = script("rank_correlation")
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert ranks.rank_correlation(scores, np.exp(9 * scores))["value"] == pytest.approx(1.0)
    assert ranks.rank_correlation(scores, -scores)["high"] == pytest.approx(-1.0)
    # ranks 1..6 against 1 2 3 4 6 5: 1 - 6 · 2 / (6 · 35)
    swapped = ranks.rank_correlation(scores, np.array([1, 2, 3, 4, 6, 5]))
    assert swapped["value"] == pytest.approx(1 - 12 / 210)
    assert swapped["low"] < swapped["value"] < swapped["high"] + 1e-9
    with_ties = np.array([[0.1, 0.2, 0.2, 0.4], [3.0, 1.0, 2.0, 2.0]]), np.array([[4, 4, 5, 9], [1, 2, 3, 4]])
    wanted = [spearmanr(*pair).statistic for pair in zip(*with_ties, strict=True)]
    assert ranks.spearman(*with_ties) == pytest.approx(wanted)
    assert ranks.rank_correlation(scores, np.ones(6)) == {"value": None, "low": None, "high": None}


def test_objectives_are_judged_by_what_their_choice_is_worth() -> None:
    objectives = script("objectives")
    generator = np.random.default_rng(0)
    truth = generator.normal(0.7, 0.02, 40)
    answers = [
        {"metric": one, "loss": generator.random(), "divergence": -one, "unlabelled": 2 - one, "report": one}
        for one in truth
    ]
    ways = objectives.summarize(answers, seed=0)
    for way in ("metric", "divergence", "unlabelled", "both"):
        assert ways[way]["spearman"] == pytest.approx(1.0)
        assert ways[way]["share"] == pytest.approx(1.0)
    # the best of 16 draws of a normal distribution is 1.77 standard deviations above the mean
    assert ways["metric"]["won"] == pytest.approx(1.77 * truth.std(), rel=0.15)
    assert abs(ways["loss"]["share"]) < 0.8


def canned(index: int) -> dict[str, Any]:
    return {
        "group": ("random", "near")[index % 2],
        "library_metric": index / 8,
        "library_loss": 1 - index / 8,
        "fisher_metric": -index,
        "fisher_loss": 0.5,
        "after_metric": index / 10,
        "after_loss": 2.0 - index,
        "after_metric_error": 0.01,
    }


def test_losses_count_negative_and_groups_apart(capsys: pytest.CaptureFixture[str]) -> None:
    ranks = script("rank_correlation")
    lines = [canned(index) for index in range(8)]
    found = ranks.correlations(lines)
    values = {(one["group"], one["score"], one["result"]): one["value"] for one in found}
    assert values["all", "library_loss", "after_metric"] == pytest.approx(1.0)
    assert values["near", "library_metric", "after_loss"] == pytest.approx(1.0)
    assert values["random", "fisher_metric", "after_metric"] == pytest.approx(-1.0)
    assert values["all", "fisher_loss", "after_loss"] is None
    assert {(one["group"], one["n"]) for one in found} == {("all", 8), ("random", 4), ("near", 4)}
    ranks.show("toy", found, lines)
    shown = capsys.readouterr().out
    assert "all (8)" in shown
    assert "undefined" in shown


def test_half_of_the_candidates_are_near_the_first_trials() -> None:
    ranks = script("rank_correlation")
    first = script("common").random_architectures(GRID, BUDGET, 2, seed=9)
    found = ranks.candidates_of(GRID, BUDGET, first, 11, seed=0)
    groups = [one.group for one in found]
    assert groups[:4] == ["random", "near", "random", "near"]
    assert (groups.count("random"), groups.count("near")) == (5, 6)
    assert [one.architecture for one in found if one.group == "near"][:2] == first
    assert len({(one.group, one.architecture) for one in found}) == 11
    assert len(ranks.candidates_of(GRID, BUDGET, first, 2, seed=0)) == 2


# --- samplers ---------------------------------------------------------------------------------------------------------


def test_the_best_so_far_by_hand() -> None:
    samplers, one = script("samplers"), Architecture((1, 1), (2, 2))
    records = [
        record(0, one, 0.9, budget=None, origin="dense"),
        record(1, one, 0.5),
        record(3, one, 0.5, loss=0.2),  # trial 2 failed; a tie goes to the lower loss
        record(4, one, 0.4),
        record(5, one, 0.6),
    ]
    found = samplers.incumbents(records, 6)
    assert [best and best.number for best in found] == [None, 1, 1, 3, 3, 5]


def test_samplers_are_summed_up_over_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samplers = script("samplers")
    studies = [
        samplers.Study("tpe", 0, (None, 0.5, 0.7), (None, 0.4, 0.6), 3),
        samplers.Study("tpe", 1, (None, 0.6, 0.6), (None, 0.5, 0.5), 3),
        samplers.Study("random", 0, (None, 0.5, 0.5), (None, 0.3, 0.3), 2),
    ]
    rows = samplers.summary(studies, (2, 3))
    assert [(row["sampler"], row["trials"], row["seeds"]) for row in rows[:3]] == [
        ("tpe", 2, 2),
        ("tpe", 3, 2),
        ("random", 2, 1),
    ]
    assert rows[1]["search"]["mean"] == pytest.approx(0.65)
    assert (rows[1]["report"]["low"], rows[1]["report"]["high"]) == (0.5, 0.6)
    samplers.show("toy", rows)
    assert "65.00 (60.00–70.00)" in capsys.readouterr().out
    samplers.plot(tmp_path / "curve.png", {"toy": studies, "other": studies})
    assert (tmp_path / "curve.png").stat().st_size > 1000


class Heads:
    """Scores by the share of heads, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Architecture] = []

    def __call__(self, architecture: Architecture, rival: Outcomes | None = None) -> Scored:
        assert rival is None  # a race would make the scores of a study depend on that study
        self.asked.append(architecture)
        quality = sum(architecture.heads) / 4
        return Scored({"accuracy": quality}, 1 - quality)


def toy_study(folder: Path, sampler: str, scorer: Any, first: Sequence[Architecture]) -> Any:
    samplers = script("samplers")
    info = StudyInfo(
        name="base",
        task="toy",
        model="toy",
        metric="accuracy",
        budget_kind="macs",
        targets=(0.5,),
        length=8,
        sampler="random",
        seed=7,
        trials=3,
        search_rows=100,
    )
    base = SearchSetup(info=info, shape=SHAPE, grid=GRID, judge=Judge(SPEC), storage="", settings={})
    setup = samplers.study_setup(base, sampler, 5, 14, folder / "samplers", "inputs")
    return samplers.run_study(setup, scorer, {"uniform": list(first)}, lambda one: sum(one.heads) / 8)


def test_studies_share_scores_and_go_on(tmp_path: Path) -> None:
    samplers, ledger = script("samplers"), script("common").Ledger
    first, scorer, path = script("common").random_architectures(GRID, BUDGET, 1, seed=1), Heads(), tmp_path / "l.jsonl"
    studies = [
        toy_study(tmp_path, name, samplers.CachedScorer(scorer, ledger(path), "toy"), first)
        for name in ("random", "local")
    ]
    assert len(scorer.asked) == len(set(scorer.asked))
    assert len(scorer.asked) < sum(study.architectures for study in studies)  # dense and first trial at least
    for study in studies:
        assert len(study.search) == 14
        assert study.search[1] == sum(first[0].heads) / 4
        assert list(study.search[1:]) == sorted(study.search[1:])
        assert [score / 2 for score in study.search[1:]] == list(study.report[1:])
    scored = len(scorer.asked)
    again = toy_study(tmp_path, "local", samplers.CachedScorer(scorer, ledger(path), "toy"), first)
    assert again == studies[1]
    other = samplers.CachedScorer(scorer, ledger(path), "other inputs")
    assert len(scorer.asked) == scored
    other(first[0])
    assert len(scorer.asked) == scored + 1


# --- growth -----------------------------------------------------------------------------------------------------------


def test_shapes_are_those_of_the_models_they_are_named_after() -> None:
    shapes = script("growth").SHAPES
    # parameters of bert-base-uncased and bert-large-uncased with a classifier of two labels, as published
    for name, params in (("bert-base", 109_483_778), ("bert-large", 335_143_938)):
        counted = shapes[name].counted
        assert cost(Architecture.dense(counted), counted, 1).params == params
    minilm = shapes["minilm-l6"].counted
    assert replace(minilm, other_params=0) == replace(script("search_overhead").MINILM, other_params=0)


def test_a_library_is_extrapolated_by_layers_rows_and_passes() -> None:
    growth = script("growth")
    measured = {
        "layers": 1,
        "rows": 64,
        "seconds": 11.0,
        "moments_seconds": 1.0,
        "file_bytes": 1000,
        "baseline_bytes": 1_000_000_000,
        "peak_bytes": 1_200_000_000 + 17 * 2**23,
    }
    whole = growth.extrapolate(growth.SHAPES["bert-large"], measured)
    # 24 layers; 16 times the rows; moments of 24 · 8 · (1024² + 4096²) bytes = 3.19 GiB, so 4 passes of 1 GiB
    assert whole["passes"] == 4
    assert whole["seconds"] == 4 * 16 * 24 * 1.0 + 24 * 10.0
    assert whole["file_bytes"] == 24_000
    # a GiB of moments, 23 more layers of 12 · 1024² float32 weights, 24 times what is left beside one layer's moments
    assert whole["peak_bytes"] == 1_000_000_000 + 2**30 + 23 * 48 * 2**20 + 24 * 200_000_000
    small = growth.extrapolate(growth.SHAPES["minilm-l6"], {**measured, "layers": 6, "rows": 1024})
    assert (small["passes"], small["seconds"], small["peak_bytes"]) == (1, 11.0, measured["peak_bytes"])


def test_growth_is_measured_on_a_toy(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    growth = script("growth")
    found = {
        "library": growth.library("toy"),
        "search": growth.search("toy", ["random", "tpe"], [5, 12]),
        "scoring": growth.scoring("toy", 8, 2),
    }
    measured, whole = found["library"]["measured"], found["library"]["whole"]
    assert (measured["layers"], measured["rows"], whole["layers"], whole["rows"]) == (1, 8, 2, 1024)
    assert whole["file_bytes"] == 2 * measured["file_bytes"] > 0
    assert found["search"]["preferences"] == 4
    asked = [(row["sampler"], row["trials"]) for row in found["search"]["ask_tell"]]
    assert asked == [("random", 5), ("random", 12), ("tpe", 5), ("tpe", 12)]
    assert found["scoring"]["seconds_per_1024_rows"] == pytest.approx(128 * found["scoring"]["seconds"]["median"])
    json.dumps(found)
    monkeypatch.setitem(growth.SHAPES, "toy", replace(growth.SHAPES["toy"], measured=(2, 1024)))
    all_of_it = growth.library("toy")
    assert all_of_it["whole"] == all_of_it["measured"]
    assert all_of_it["whole"]["file_bytes"] == whole["file_bytes"]
    growth.show({"toy": found})
    assert "ask + tell ms" in capsys.readouterr().out


def test_the_toys_layers_cost_what_their_model_says(tiny_model: Any) -> None:
    """Guards `layer_macs` against a change of what MACs count."""
    shape, speed = shape_of(tiny_model("bert")), script("study_facts")
    dense = Architecture.dense(shape)
    assert sum(speed.layer_macs(dense, shape, 16)) * 16 == cost(dense, shape, 16).macs


def test_removal_in_groups_is_compared_on_the_same_widths(
    tiny_model: Any, padded_batch: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    groups, model = script("library_groups"), tiny_model("bert", labels=2)
    block = next(block for block, size in family_of(model.config).blocks(model) if size == 1)
    (moments,) = collect_moments(model, [block], [padded_batch], weighted=True, seed=0)
    grouped, single = (groups.errors(block, moments, group)[0] for group in (groups.GROUP, 1))
    assert len(grouped) == len(single) == len(groups.KEPT)
    assert grouped == sorted(grouped)  # fewer neurons, more error
    assert grouped[-1] > single[-1] > 0  # greedy one at a time sees what each removal changes
    row = {"error_ratio": dict(zip(map(str, groups.KEPT), [1.0, 1.01, 1.02, 1.0, 1.03], strict=True))}
    groups.show("toy", [{**row, "seconds": 1.0, "seconds_one_at_a_time": 5.0}])
    printed = capsys.readouterr().out
    assert "+3.00%" in printed
    assert "5.0 times as long" in printed


def test_a_task_that_has_no_config_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        script("samplers").main(["--only", "sst3"])
    assert "sst3" in capsys.readouterr().err


# --- deployment -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_form_is_made_once_and_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = script("deployment")
    monkeypatch.delenv("AEBERT_DATA", raising=False)
    monkeypatch.setattr(module.torch, "compile", lambda *_, **__: 1 // 0)  # compiler and converter are not part of it
    monkeypatch.setattr(module, "flatbuffers", lambda built: {})
    given = ["--shape", "toy", "--removed", "0.5", "--threads", "1", "--runs", "4", "--variants", "dynamic-int8"]
    module.main([*given, "--work", str(tmp_path / "work"), "--results", str(tmp_path)])
    result = json.loads((tmp_path / "benchmarks" / "deployment.json").read_text(encoding="utf-8"))
    (one,) = result["threads"]
    forms = ["torch eager", *(f"ONNX Runtime {form}" for form in ("float32, plain", "float32, fused", "dynamic-int8"))]
    assert [(row["model"], row["form"]) for row in one["rows"]] == [
        (model, form) for model in ("dense", "pruned-50") for form in forms
    ]
    assert one["runs"] == 4
    assert one["absent"]["torch.compile"].startswith("ZeroDivisionError")
    dense = {row["form"]: row for row in one["rows"] if row["model"] == "dense"}
    assert dense["torch eager"]["over_torch"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert dense["ONNX Runtime dynamic-int8"]["size_bytes"] < dense["ONNX Runtime float32, plain"]["size_bytes"]
    shown = capsys.readouterr().out
    assert "1 of 1 embeddings" not in shown, "left apart for the quantizer"
    assert "2 of 2 attentions" in shown
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.onnx")}
    module.main([*given, "--work", str(tmp_path / "work"), "--results", str(tmp_path)])
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.onnx")}


def test_ratios_are_of_the_same_request() -> None:
    samples = importlib.import_module("aebert.profiling.sampling").Samples(
        (0, 1), {"a": (2.0, 9.0), "b": (1.0, 3.0)}, 0, 0
    )
    assert script("deployment").ratios(samples, "a", "b")["median"] == 2.5


# --- cost of int8 -----------------------------------------------------------------------------------------------------


def test_the_cost_of_int8_is_of_the_same_rows(tiny_model: Any, tiny_tokenizer: Any, tiny_task: Any) -> None:
    module, (spec, rows) = script("int8_cost"), tiny_task("classification", 48)
    prepared = prepare(rows, spec, tiny_tokenizer, 32, 512)
    shared = SimpleNamespace(task=SimpleNamespace(spec=spec))
    run = SimpleNamespace(dense=SimpleNamespace(tokenizer=tiny_tokenizer), run=shared)
    model = tiny_model("bert", labels=2)
    found = module.cost(run, model, prepared)
    assert found["float32"] == evaluate(model, prepared).metrics[spec.headline]
    assert found["difference"] == pytest.approx(found["int8"] - found["float32"])
    assert found["interval"][0] <= found["difference"] <= found["interval"][1]
    assert found["rows"] == 48


# --- vocabulary -------------------------------------------------------------------------------------------------------


def _outcomes(marks: Sequence[int]) -> str:
    """Of rows whose label is 1, by the class that was given."""
    return Outcomes(np.zeros(len(marks), np.float32), np.array([[mark, 1] for mark in marks], np.float32)).encode()


def test_models_with_fewer_pieces_are_compared_on_the_same_rows() -> None:
    module, pipeline = script("vocabulary"), SimpleNamespace(run=SimpleNamespace(task=SimpleNamespace(spec=SPEC)))
    whole, small = (
        {"outcomes": {kind: {"dev": _outcomes(marks)} for kind in module.KINDS}}
        for marks in ([1, 1, 1, 0], [1, 0, 0, 0])
    )
    found = module.compared(pipeline, small, whole)
    assert list(found) == ["float32 dev", "int8 dev"]
    assert (found["int8 dev"]["score"], found["int8 dev"]["rows"]) == (0.25, 4)
    against = found["int8 dev"]["against dense"]
    assert against["difference"] == -0.5
    assert against["low"] < -0.5 < against["high"]


def test_a_model_is_cut_to_what_the_train_rows_use(
    tiny_model: Any, tiny_tokenizer: Any, tiny_task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, (spec, rows) = script("vocabulary"), tiny_task("classification", 24)
    monkeypatch.setattr(module, "score", lambda _, model, tokenizer: {"rows": model.config.vocab_size, "of": tokenizer})
    roles = {"train": rows[:2], "search": rows[2:10], "select": rows[10:12], "report": rows[12:]}
    config = SimpleNamespace(data=SimpleNamespace(max_length=8))
    run = SimpleNamespace(task=SimpleNamespace(spec=spec, rows=roles), config=config)
    dense = SimpleNamespace(model=tiny_model("bert", labels=2), tokenizer=tiny_tokenizer)
    found = module.cut_after(SimpleNamespace(run=run, dense=dense), module.USED)
    # words whose letters are no pieces stay, whether the train rows use them or not
    assert found["rows"] == len(found["of"]) <= len(tiny_tokenizer)
    assert set(found["of"].tokenize(rows[0].text[0])) == set(tiny_tokenizer.tokenize(rows[0].text[0]))
    assert (found["read"]["dev"]["rows"], found["read"]["report"]["rows"]) == (10, 12)
    assert found["read"]["report"]["small_unknown"] == 0
    assert module.limited("7").keep == 7

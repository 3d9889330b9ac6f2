from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from aebert.digests import weights_digest
from aebert.errors import DataError
from aebert.models.counting import shape_of
from aebert.models.families import FAMILIES, Block, family_of
from aebert.pruning import sequential
from aebert.pruning.architecture import Architecture
from aebert.pruning.lockstep import DenseStates
from aebert.pruning.sequential import DAMPINGS, repair_sequentially
from aebert.pruning.slicing import Selection, extract
from aebert.pruning.subnetwork import load_subnetwork

TinyModel = Callable[..., PreTrainedModel]
Tensors = dict[str, torch.Tensor]
every_family = pytest.mark.parametrize("family", list(FAMILIES))
both_heads = pytest.mark.parametrize("head", ["sequence", "token"])


@pytest.fixture
def batches() -> list[Tensors]:
    """3 batches of 6 rows, 186 tokens: more than any block's inputs."""
    generator = torch.Generator().manual_seed(5)
    mask = (torch.arange(15) < torch.tensor([[15], [9], [15], [6], [12], [5]])).long()
    return [
        {"input_ids": torch.randint(3, 57, (6, 15), generator=generator) * mask, "attention_mask": mask}
        for _ in range(3)
    ]


def halved(model: PreTrainedModel) -> PreTrainedModel:
    """Some units each, no repair."""
    ffn = len(shape_of(model).ffn)
    return extract(model, Selection(((0, 3), (1, 2, 3)), tuple((tuple(range(0, 64, 2 + b % 2))) for b in range(ffn))))


def with_empty_blocks(model: PreTrainedModel) -> PreTrainedModel:
    ffn = len(shape_of(model).ffn)
    return extract(model, Selection(((), (1, 2)), tuple((tuple(range(0, 64, 2)), ())[b % 2] for b in range(ffn))))


def in_order(model: PreTrainedModel) -> list[Block]:
    """As the forward pass meets them."""
    family = family_of(model.config)
    attention, ffn = family.attention_blocks(model), family.ffn_blocks(model)
    each = len(ffn) // 2
    return [attention[0], *ffn[:each], attention[1], *ffn[each:]]


def norm_behind(model: PreTrainedModel, block: Block) -> torch.nn.Module:
    """The norm that gets the projection's output plus the residual, found by who shares its parent."""
    if family_of(model.config).model_type != "distilbert":
        return block.output.parent.LayerNorm  # type: ignore[return-value]
    for layer in family_of(model.config).encoder_layers(model):
        if block.output.parent is layer.attention:
            return layer.sa_layer_norm  # type: ignore[return-value]
        if block.output.parent is layer.ffn:
            return layer.output_layer_norm  # type: ignore[return-value]
    raise LookupError


def streams(model: PreTrainedModel, index: int, batches: list[Tensors]) -> tuple[torch.Tensor, torch.Tensor]:
    """At real tokens, over whole forward passes: the projection's input [tokens, n], the residual stream behind it."""
    block = in_order(model)[index]
    found: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    handles = [
        module.register_forward_pre_hook(lambda _, inputs, kept=kept: kept.append(inputs[0].detach().double()))
        for module, kept in zip((block.output.module, norm_behind(model, block)), found, strict=True)
    ]
    with torch.no_grad():
        for batch in batches:
            model(**batch)
    for handle in handles:
        handle.remove()
    x, stream = (
        torch.cat([part[batch["attention_mask"] == 1] for part, batch in zip(parts, batches, strict=True)])
        for parts in found
    )
    return x, stream


def weights(model: PreTrainedModel, index: int, batches: list[Tensors]) -> torch.Tensor:
    """What each real token counts: as much as any other, but where only the first of each row reaches the output.

    There, in the last layer of a sequence classifier, the first tokens share nine tenths of a batch's weight.
    """
    last_layer = index >= len(in_order(model)) // 2
    if not last_layer or "Sequence" not in type(model).__name__:
        return torch.ones(sum(int(batch["attention_mask"].sum()) for batch in batches), dtype=torch.float64)
    found = []
    for batch in batches:
        tokens, rows = int(batch["attention_mask"].sum()), len(batch["attention_mask"])
        for _, token in batch["attention_mask"].nonzero().tolist():
            found.append(0.1 + (0.9 * tokens / rows if token == 0 else 0.0))
    return torch.tensor(found, dtype=torch.float64)


def mismatch(dense: PreTrainedModel, small: PreTrainedModel, index: int, batches: list[Tensors]) -> float:
    """Squared distance of the residual streams behind a block, at real tokens."""
    difference = streams(dense, index, batches)[1] - streams(small, index, batches)[1]
    return float(weights(dense, index, batches) @ difference.square().sum(1))


def folds(batches: list[Tensors]) -> torch.Tensor:
    """The part of the rows that each real token belongs to."""
    starts = np.cumsum([0, *(len(batch["attention_mask"]) for batch in batches)])
    rows = [start + batch["attention_mask"].nonzero()[:, 0] for start, batch in zip(starts[:-1], batches, strict=True)]
    return torch.cat(rows) % 4


def cross_validated(
    x: torch.Tensor, missing: torch.Tensor, counts: torch.Tensor, parts: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """The least squares of all rows, with the damping that is best on rows that it was not fitted to."""

    def error(damping: float) -> float:
        total = 0.0
        for part in range(4):
            mine, others = parts == part, parts != part
            change = least_squares(x[others], missing[others], counts[others], damping)
            left = missing[mine] - torch.cat([x[mine], torch.ones(int(mine.sum()), 1)], 1).double() @ change
            total += float(counts[mine] @ left.square().sum(1))
        return total

    damping = min(DAMPINGS, key=error) if x.shape[1] else 1.0
    return least_squares(x, missing, counts, damping), damping


def least_squares(x: torch.Tensor, missing: torch.Tensor, counts: torch.Tensor, damping: float) -> torch.Tensor:
    """Changes of weights and bias [inputs + 1, out] that best make up for `missing`, damping written as extra rows."""
    root = counts.sqrt()[:, None]
    inputs = x.shape[1]
    strength = (damping * float((root * x).square().sum()) / max(inputs, 1)) ** 0.5
    below = torch.cat([strength * torch.eye(inputs), torch.zeros(inputs, 1)], 1).double()
    design = torch.cat([torch.cat([root * x, root], 1), below])
    wanted = torch.cat([root * missing, torch.zeros(inputs, missing.shape[1]).double()])
    solution: torch.Tensor = torch.linalg.lstsq(design, wanted, driver="gelsd").solution
    return solution


@every_family
@pytest.mark.parametrize(("head", "cut"), [("sequence", halved), ("token", with_empty_blocks)])
def test_each_block_solves_its_least_squares_problem_behind_repaired_ones(
    tiny_model: TinyModel,
    batches: list[Tensors],
    family: str,
    head: str,
    cut: Callable[[PreTrainedModel], PreTrainedModel],
) -> None:
    """The problem of every block is written out on the model as it is when its turn has come."""
    dense = tiny_model(family, head)
    now = cut(dense)
    repaired = copy.deepcopy(now)
    repair_sequentially(dense, repaired, batches)
    seen: set[float] = set()
    for index, done in enumerate(in_order(repaired)):
        x, stream = streams(now, index, batches)
        missing = streams(dense, index, batches)[1] - stream
        change, damping = cross_validated(x, missing, weights(dense, index, batches), folds(batches))
        seen.add(damping)
        mine, after = in_order(now)[index].output.module, done.output.module
        if x.shape[1]:
            wanted = mine.weight.double() + change[:-1].T
            torch.testing.assert_close(after.weight.double(), wanted, rtol=1e-3, atol=1e-3)
            mine.weight.data = after.weight.data
        torch.testing.assert_close(after.bias.double(), mine.bias.double() + change[-1], rtol=1e-3, atol=1e-3)
        assert float(change.abs().max()) > 1e-4
        mine.bias.data = after.bias.data
    assert seen <= set(DAMPINGS)


@every_family
@pytest.mark.parametrize(("head", "cut"), [("sequence", halved), ("token", with_empty_blocks)])
def test_the_last_stream_comes_nearer(
    tiny_model: TinyModel,
    batches: list[Tensors],
    family: str,
    head: str,
    cut: Callable[[PreTrainedModel], PreTrainedModel],
) -> None:
    dense = tiny_model(family, head)
    small = cut(dense)
    repaired = copy.deepcopy(small)
    repair_sequentially(dense, repaired, batches)
    last = len(in_order(dense)) - 1
    assert mismatch(dense, repaired, last, batches) < 0.9 * mismatch(dense, small, last, batches)


@every_family
def test_only_output_projections_change(tiny_model: TinyModel, batches: list[Tensors], family: str) -> None:
    dense = tiny_model(family)
    small = halved(dense)
    repaired = copy.deepcopy(small)
    repair_sequentially(dense, repaired, batches)
    before = dict(small.named_parameters())
    outputs = {id(parameter) for block in in_order(repaired) for parameter in block.output.module.parameters()}
    for name, parameter in repaired.named_parameters():
        assert torch.equal(parameter, before[name]) == (id(parameter) not in outputs)


@every_family
@both_heads
def test_a_dense_architecture_stays_as_it_is(
    tiny_model: TinyModel, batches: list[Tensors], family: str, head: str
) -> None:
    dense = tiny_model(family, head)
    ffn = len(shape_of(dense).ffn)
    same = extract(dense, Selection((tuple(range(4)),) * 2, (tuple(range(64)),) * ffn))
    assert Architecture.dense(shape_of(dense)) == Architecture.dense(shape_of(same))
    before = {name: parameter.detach().clone() for name, parameter in same.named_parameters()}
    repair_sequentially(dense, same, batches)
    for name, parameter in same.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name], rtol=1e-4, atol=1e-5)


@every_family
def test_without_units_the_mean_of_the_streams_is_met(
    tiny_model: TinyModel, batches: list[Tensors], family: str
) -> None:
    """All blocks empty: only biases are left to fit, and each makes up for all that is missing on average."""
    dense = tiny_model(family)
    small = extract(dense, Selection(((), ()), ((),) * len(shape_of(dense).ffn)))
    repair_sequentially(dense, small, batches)
    for index in range(len(in_order(dense))):
        theirs, mine = (streams(model, index, batches)[1] for model in (dense, small))
        assert (theirs - mine).abs().max() > 0.05
        counts = weights(dense, index, batches)
        torch.testing.assert_close(counts @ mine, counts @ theirs, rtol=1e-4, atol=1e-4 * float(counts.sum()))


@every_family
def test_both_models_are_left_as_found(tiny_model: TinyModel, batches: list[Tensors], family: str) -> None:
    dense = tiny_model(family).train()
    small = halved(dense).train()
    small.get_input_embeddings().requires_grad_(False)
    weights, states = weights_digest(dense), [_state(model) for model in (dense, small)]
    repair_sequentially(dense, small, batches)
    assert weights_digest(dense) == weights
    assert [_state(model) for model in (dense, small)] == states


def _state(model: PreTrainedModel) -> tuple[object, ...]:
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    modes = [module.training for module in model.modules()]
    return modes, hooks, [(parameter.requires_grad, parameter.grad) for parameter in model.parameters()]


def test_a_model_that_shares_weights_leaves_the_dense_one_alone(tiny_model: TinyModel, batches: list[Tensors]) -> None:
    dense = tiny_model()
    before = weights_digest(dense)
    every = tuple(range(64))
    small = extract(dense, Selection(((0, 1, 2, 3), ()), (every, (3, 5))), share_weights=True)
    repair_sequentially(dense, small, batches)
    assert weights_digest(dense) == before


def test_labels_are_never_read(tiny_model: TinyModel, batches: list[Tensors]) -> None:
    dense = tiny_model()
    first, second = halved(dense), halved(dense)
    repair_sequentially(dense, first, batches)
    repair_sequentially(dense, second, [{**batch, "labels": torch.full((6,), 10**6)} for batch in batches])
    assert weights_digest(first) == weights_digest(second)


@every_family
def test_how_rows_are_batched_does_not_matter(tiny_model: TinyModel, batches: list[Tensors], family: str) -> None:
    """Where all tokens count the same."""
    dense = tiny_model(family, "token")
    first, second = halved(dense), halved(dense)
    repair_sequentially(dense, first, batches)
    single = [{name: tensor[row : row + 1] for name, tensor in batch.items()} for batch in batches for row in range(6)]
    trimmed = [{name: tensor[:, batch["attention_mask"][0] == 1] for name, tensor in batch.items()} for batch in single]
    repair_sequentially(dense, second, trimmed)
    for mine, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=2e-3, atol=5e-4)


@every_family
def test_a_repaired_model_is_saved_and_loaded(
    tiny_model: TinyModel, batches: list[Tensors], padded_batch: Tensors, family: str, tmp_path: Path
) -> None:
    dense = tiny_model(family)
    small = with_empty_blocks(dense)
    repair_sequentially(dense, small, batches)
    small.save_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(load_subnetwork(tmp_path)(**padded_batch).logits, small.eval()(**padded_batch).logits)


def test_no_row_is_an_error(tiny_model: TinyModel) -> None:
    dense = tiny_model()
    small = halved(dense)
    before = weights_digest(small)
    with pytest.raises(DataError, match=r"^repair needs at least one calibration row, got none: check [^\n]*$"):
        repair_sequentially(dense, small, [])
    assert weights_digest(small) == before


@pytest.mark.parametrize("tokens", [1, 2])
def test_fewer_tokens_than_units_are_no_problem(tiny_model: TinyModel, batches: list[Tensors], tokens: int) -> None:
    dense = tiny_model()
    few = [{name: tensor[:1, :tokens] for name, tensor in batches[0].items()}]
    small = halved(dense)
    before = mismatch(dense, small, 3, few)
    repair_sequentially(dense, small, few)
    assert all(bool(torch.isfinite(parameter).all()) for parameter in small.parameters())
    assert mismatch(dense, small, 3, few) < before


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_units_that_never_change_are_no_problem(tiny_model: TinyModel, batches: list[Tensors], value: float) -> None:
    """Kept units of an FFN that are constant on all calibration rows; with ReLU they may well be 0."""
    dense = tiny_model()
    up = in_order(dense)[1].inputs[0].module
    up.weight.data[::2] = 0.0
    up.bias.data[::2] = value
    small = extract(dense, Selection((tuple(range(4)),) * 2, (tuple(range(0, 64, 2)), tuple(range(64)))))
    before = mismatch(dense, small, 1, batches)
    repair_sequentially(dense, small, batches)
    assert all(bool(torch.isfinite(parameter).all()) for parameter in small.parameters())
    assert mismatch(dense, small, 1, batches) < before


@every_family
@pytest.mark.parametrize("place", [0, 1])
def test_first_layers_are_taken_over_from_what_was_repaired_before(
    tiny_model: TinyModel, batches: list[Tensors], family: str, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are the same to the bit as without, and only the other layers are fitted."""
    dense = tiny_model(family)
    ffn = tuple(tuple(range(0, 64, 2)) for _ in shape_of(dense).ffn)
    heads = [((0, 3), (1, 2, 3)), ((0, 3), (0, 1, 2))]
    others = [extract(dense, Selection(one, ffn)) for one in (((0, 1, 2), (1, 2, 3)), heads[0])]
    alone, small = (extract(dense, Selection(heads[place], ffn)) for _ in range(2))
    for other in others:
        repair_sequentially(dense, other, batches)
    repair_sequentially(dense, alone, batches)
    fitted: list[object] = []
    refit = sequential._refit

    def noted(output: object, sums: list[sequential._Sums]) -> None:
        fitted.append(output)
        refit(output, sums)

    monkeypatch.setattr(sequential, "_refit", noted)
    repair_sequentially(dense, small, batches, known=others)
    assert weights_digest(small) == weights_digest(alone)
    assert len(fitted) == len(in_order(small)) // 2 * place


def test_the_damping_of_many_outputs_is_nearly_the_best() -> None:
    """96 outputs, of which one is by far the largest: its error must count, though it is not probed on its own."""
    generator = torch.Generator().manual_seed(0)
    sums, chosen = [], {}
    for _ in range(4):
        x = torch.cat([torch.randn(40, 30, generator=generator), torch.ones(40, 1)], 1).double()
        truth = torch.randn(96, 31, generator=torch.Generator().manual_seed(9)).double() / 30
        missing = x @ truth.T + torch.randn(40, 96, generator=generator).double()
        missing[:, 7] = 20 * torch.randn(40, generator=generator).double() + 400 * x @ truth[7]
        sums.append(sequential._Sums(x.T @ x, missing.T @ x))
    total = sequential._Sums(sum(one.gram for one in sums), sum(one.cross for one in sums))  # type: ignore[arg-type]
    for damping in DAMPINGS:
        chosen[damping] = sum(one.change(sequential._step(total.without(one), damping)) for one in sums)
    best, worst = min(chosen.values()), max(chosen.values())
    assert chosen[sequential._best_damping(total, sums)] - best < 0.05 * (worst - best)


@every_family
@pytest.mark.parametrize("most", [10**9, 0], ids=["kept", "run again"])
def test_states_of_the_dense_model_serve_many_repairs(
    tiny_model: TinyModel, batches: list[Tensors], family: str, most: int
) -> None:
    dense = tiny_model(family)
    states = DenseStates(dense, batches, most)
    runs: list[int] = []
    layer = family_of(dense.config).encoder_layers(dense)[1]
    for place, cut in enumerate((halved, with_empty_blocks, halved)):
        alone, small = cut(dense), cut(dense)
        repair_sequentially(dense, alone, batches)
        handle = layer.register_forward_hook(lambda *_, place=place: runs.append(place))
        repair_sequentially(dense, small, batches, states=states)
        handle.remove()
        assert weights_digest(small) == weights_digest(alone)
    assert runs == sorted([0, 1, 2] * len(batches))[: len(batches) if most else None]

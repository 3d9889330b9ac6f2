from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from aebert.digests import weights_digest
from aebert.errors import DataError
from aebert.models.counting import shape_of
from aebert.models.families import FAMILIES, Block, family_of
from aebert.pruning.moments import EVEN, Moments, collect_moments
from aebert.pruning.slicing import Selection, extract

TinyModel = Callable[..., PreTrainedModel]
Tensors = dict[str, torch.Tensor]
every_family = pytest.mark.parametrize("family", list(FAMILIES))
both_heads = pytest.mark.parametrize("head", ["sequence", "token"])
weighted_or_not = pytest.mark.parametrize("weighted", [True, False])


@pytest.fixture
def batches(padded_batch: Tensors) -> list[Tensors]:
    """Two batches of 3 rows each with 12, 7 and 3 tokens: 44 in all."""
    mask = padded_batch["attention_mask"].flip(0)
    other = {"input_ids": (padded_batch["input_ids"].flip(0) * 7 % 50 + 3) * mask, "attention_mask": mask}
    return [padded_batch, other]


def blocks_of(model: PreTrainedModel) -> list[Block]:
    family = family_of(model.config)
    return [*family.attention_blocks(model), *family.ffn_blocks(model)]


def collect(model: PreTrainedModel, batches: list[Tensors], *, weighted: bool, seed: int = 4) -> list[Moments]:
    return collect_moments(model, blocks_of(model), batches, weighted=weighted, seed=seed)


# --- an independent computation: every token on its own, in numpy, gradients by autograd of the whole model ----------


@contextmanager
def watched(model: PreTrainedModel) -> Iterator[list[dict[str, torch.Tensor]]]:
    """Per block, in `blocks_of` order, the input and the output (with its gradient) of the output projection."""
    seen: list[dict[str, torch.Tensor]] = []
    handles = []
    for block in blocks_of(model):
        one: dict[str, torch.Tensor] = {}
        seen.append(one)

        def keep(_: object, inputs: tuple[torch.Tensor], output: torch.Tensor, one: Tensors = one) -> None:
            output.retain_grad()
            one.update(x=inputs[0], y=output)

        handles.append(block.output.module.register_forward_hook(keep))
    yield seen
    for handle in handles:
        handle.remove()


def signs(logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The directions that `collect_moments` draws."""
    return torch.where(torch.randint(0, 2, logits.shape, generator=generator) == 1, 1.0, -1.0)


def tokens_and_gradients(
    model: PreTrainedModel, batches: list[Tensors], seed: int
) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Per block and batch: inputs [tokens, n] and gradients [tokens, out] of the real tokens."""
    generator = torch.Generator().manual_seed(seed)
    found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in blocks_of(model)]
    for batch in batches:
        with watched(model) as seen:
            logits = model(**batch).logits
            draw = signs(logits, generator)
            rows = [(row, token) for row, token in batch["attention_mask"].nonzero().tolist()]
            if logits.dim() == 3:
                total = sum((logits[place] * draw[place]).sum() for place in rows)
            else:
                total = (logits * draw).sum()
            total.backward()
        for one, kept in zip(seen, found, strict=True):
            gradient = one["y"].grad
            assert gradient is not None
            x = np.stack([one["x"][place].detach().double().numpy() for place in rows])
            kept.append((x, np.stack([gradient[place].double().numpy() for place in rows])))
    model.zero_grad()
    return found


def shares(gradients: np.ndarray) -> np.ndarray:
    """A tenth of the weight evenly, the rest by squared gradient."""
    squares = np.array([float(row @ row) for row in gradients])
    found: np.ndarray = 0.1 + 0.9 * squares * len(squares) / squares.sum()
    return found


def close(mine: torch.Tensor, wanted: np.ndarray) -> None:
    scale = max(float(np.abs(wanted).max()), 1e-12) if wanted.size else 1.0
    np.testing.assert_allclose(mine.numpy() / scale, wanted / scale, atol=2e-5)


@every_family
@both_heads
@weighted_or_not
def test_moments_are_those_of_the_real_tokens(
    tiny_model: TinyModel, batches: list[Tensors], family: str, head: str, weighted: bool
) -> None:
    model = tiny_model(family, head)
    mine = collect(model, batches, weighted=weighted)
    every = tokens_and_gradients(model, batches, seed=4)
    assert len(mine) == len(every) == len(shape_of(model).heads) + len(shape_of(model).ffn)
    for known, parts in zip(mine, every, strict=True):
        x, gradients = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        weights = np.concatenate([shares(part[1]) for part in parts]) if weighted else np.ones(len(x))
        assert known.tokens == len(x) == 44
        close(known.mean, np.average(x, axis=0, weights=weights))
        close(known.second, np.cov(x.T, aweights=weights, bias=True))
        close(known.sensitivity, gradients.T @ gradients / 44 if weighted else np.eye(gradients.shape[1]))
        assert (known.second.dtype, known.mean.dtype, known.sensitivity.dtype) == (torch.float64,) * 3


def test_the_even_share_is_a_tenth() -> None:
    """Stated as 0.1 in the oracle above."""
    assert EVEN == 0.1


@every_family
def test_tokens_that_reach_no_output_still_count(tiny_model: TinyModel, batches: list[Tensors], family: str) -> None:
    """Only the first tokens (6) reach a classifier's output behind the last FFN; its 44 tokens all count a little."""
    model = tiny_model(family)
    every = tokens_and_gradients(model, batches, seed=4)[-1]
    reaching = np.concatenate([part[1] for part in every])
    assert np.count_nonzero(np.abs(reaching).sum(1) > 0) == 6
    last = collect(model, batches, weighted=True)[-1]
    plain = np.linalg.matrix_rank(np.cov(np.concatenate([part[0] for part in every]).T), hermitian=True, tol=1e-9)
    assert np.linalg.matrix_rank(last.second.numpy(), hermitian=True, tol=1e-9) >= plain - 4 > 20


def test_weights_are_one_on_average_in_each_batch(tiny_model: TinyModel, batches: list[Tensors]) -> None:
    """A unit that is 1 at every token has mean 1 whatever the tokens weigh, and no variance."""
    model = tiny_model()
    for block in blocks_of(model):
        block.output.module.register_forward_pre_hook(_first_is_one)
    for known in collect(model, batches, weighted=True):
        assert float(known.mean[0]) == pytest.approx(1.0, abs=1e-6)
        assert float(known.second[0].abs().max()) < 1e-5


def _first_is_one(_: object, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    return (torch.cat([torch.ones_like(inputs[0][..., :1]), inputs[0][..., 1:]], -1),)


@every_family
def test_the_mean_over_directions_is_the_squared_jacobian(
    tiny_model: TinyModel, batches: list[Tensors], family: str
) -> None:
    """One row, two logits: the directions are (+, +) and (+, −) or their opposites, whose mean is exact."""
    model = tiny_model(family, labels=2)
    one = {name: tensor[:1] for name, tensor in batches[0].items()}
    jacobian: list[list[np.ndarray]] = []
    for label in range(2):
        with watched(model) as seen:
            model(**one).logits[0, label].backward()
        jacobian.append([part["y"].grad[0].double().numpy() for part in seen])  # type: ignore[index]
    found: dict[float, list[Moments]] = {}
    for seed in range(12):
        drawn = collect(model, [one], weighted=True, seed=seed)
        found[round(float(drawn[0].sensitivity.trace()), 4)] = drawn
    assert len(found) == 2
    for block in range(len(blocks_of(model))):
        wanted = sum(part[block].T @ part[block] for part in jacobian) / 12
        drawn_mean = sum(drawn[block].sensitivity for drawn in found.values()) / 2
        close(torch.as_tensor(drawn_mean), wanted)


# --- properties ------------------------------------------------------------------------------------------------------


@every_family
@both_heads
def test_how_rows_are_batched_does_not_matter_unweighted(
    tiny_model: TinyModel, batches: list[Tensors], family: str, head: str
) -> None:
    model = tiny_model(family, head)
    single = [{name: tensor[row : row + 1] for name, tensor in batch.items()} for batch in batches for row in range(3)]
    trimmed = [{name: tensor[:, batch["attention_mask"][0] == 1] for name, tensor in batch.items()} for batch in single]
    together = collect(model, batches, weighted=False)
    parts = collect(model, [trimmed[row] for row in (3, 0, 4, 5, 2, 1)], weighted=False)
    for mine, other in zip(together, parts, strict=True):
        assert mine.tokens == other.tokens
        close(mine.mean, other.mean.numpy())
        close(mine.second, other.second.numpy())


@every_family
@weighted_or_not
def test_moments_are_symmetric_and_positive_semidefinite(
    tiny_model: TinyModel, batches: list[Tensors], family: str, weighted: bool
) -> None:
    for known in collect(tiny_model(family), batches, weighted=weighted):
        for matrix in (known.second, known.sensitivity):
            torch.testing.assert_close(matrix, matrix.T, rtol=1e-6, atol=1e-12)
            values = np.linalg.eigvalsh(matrix.numpy())
            assert values[0] >= -1e-6 * values[-1]


@both_heads
@weighted_or_not
def test_labels_are_never_read(tiny_model: TinyModel, batches: list[Tensors], head: str, weighted: bool) -> None:
    model = tiny_model(head=head)
    nonsense = [{**batch, "labels": torch.full((3,), 10**6)} for batch in batches]
    for mine, other in zip(
        collect(model, batches, weighted=weighted), collect(model, nonsense, weighted=weighted), strict=True
    ):
        assert torch.equal(mine.second, other.second)
        assert torch.equal(mine.sensitivity, other.sensitivity)


def test_seeds_draw_directions_and_nothing_else(tiny_model: TinyModel, batches: list[Tensors]) -> None:
    model = tiny_model()
    torch.manual_seed(1)
    first = collect(model, batches, weighted=True, seed=0)
    torch.manual_seed(2)
    again, other = (collect(model, batches, weighted=True, seed=seed) for seed in (0, 1))
    for mine, same, another in zip(first, again, other, strict=True):
        assert torch.equal(mine.second, same.second)
        assert torch.equal(mine.sensitivity, same.sensitivity)
        assert not torch.allclose(mine.sensitivity, another.sensitivity)
    plain = [collect(model, batches, weighted=False, seed=seed)[0].second for seed in (0, 1)]
    assert torch.equal(*plain)


@every_family
@weighted_or_not
def test_the_model_is_left_as_found(tiny_model: TinyModel, batches: list[Tensors], family: str, weighted: bool) -> None:
    model = tiny_model(family).train()
    family_of(model.config).encoder_layers(model)[0].eval()
    chosen = next(model.parameters())
    chosen.requires_grad_(False)
    before = _state(model)
    collect(model, batches, weighted=weighted)
    assert _state(model) == before
    assert all(parameter.grad is None for parameter in model.parameters())


def _state(model: PreTrainedModel) -> tuple[object, ...]:
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    modes = [module.training for module in model.modules()]
    return weights_digest(model), modes, hooks, [parameter.requires_grad for parameter in model.parameters()]


def test_dropout_is_off(tiny_model: TinyModel, batches: list[Tensors]) -> None:
    model = tiny_model()
    quiet = collect(model.eval(), batches, weighted=True)
    loud = collect(model.train(), batches, weighted=True)
    assert all(torch.equal(mine.second, other.second) for mine, other in zip(quiet, loud, strict=True))


def test_hooks_are_gone_when_the_pass_fails(tiny_model: TinyModel, batches: list[Tensors]) -> None:
    model = tiny_model()
    before = _state(model)
    broken = {**batches[0], "input_ids": batches[0]["input_ids"] + 10**6}
    with pytest.raises(IndexError):
        collect(model, [broken], weighted=True)
    assert _state(model) == before


def test_no_row_is_an_error(tiny_model: TinyModel) -> None:
    with pytest.raises(
        DataError, match=r"^calibration needs at least one row, got none: check data\.roles and [^\n]*$"
    ):
        collect(tiny_model(), [], weighted=False)


@every_family
@weighted_or_not
def test_pruned_models_have_moments_too(
    tiny_model: TinyModel, batches: list[Tensors], family: str, weighted: bool
) -> None:
    """An empty attention block and an empty FFN: moments of size 0, the others as ever."""
    dense = tiny_model(family)
    ffn = len(shape_of(dense).ffn)
    small = extract(dense, Selection(((), (0, 2)), tuple(((3, 9, 40), ())[block % 2] for block in range(ffn))))
    mine = collect(small, batches, weighted=weighted)
    every = tokens_and_gradients(small, batches, seed=4)
    size = family_of(dense.config).head_size(dense.config)
    assert [len(known.mean) for known in mine] == [0, 2 * size, *((3, 0)[block % 2] for block in range(ffn))]
    for known, parts in zip(mine, every, strict=True):
        assert known.second.shape == (len(known.mean),) * 2
        gradients = np.concatenate([part[1] for part in parts])
        close(known.sensitivity, gradients.T @ gradients / 44 if weighted else np.eye(gradients.shape[1]))


@weighted_or_not
def test_a_model_without_any_unit_has_moments(tiny_model: TinyModel, batches: list[Tensors], weighted: bool) -> None:
    small = extract(tiny_model(), Selection(((), ()), ((), ())))
    for known in collect(small, batches, weighted=weighted):
        assert (known.tokens, known.second.numel(), known.mean.numel()) == (44, 0, 0)
        assert bool(torch.isfinite(known.sensitivity).all())


def test_some_blocks_alone_are_as_among_all(tiny_model: TinyModel, batches: list[Tensors]) -> None:
    """What makes a library in several passes the same as in one."""
    model = tiny_model("mobilebert")
    together = collect(model, batches, weighted=True)
    for index in (0, 3, len(together) - 1):
        (alone,) = collect_moments(model, [blocks_of(model)[index]], batches, weighted=True, seed=4)
        assert torch.equal(alone.second, together[index].second)
        assert torch.equal(alone.sensitivity, together[index].sensitivity)


@weighted_or_not
def test_one_token_has_no_variance(tiny_model: TinyModel, batches: list[Tensors], weighted: bool) -> None:
    one = {name: tensor[:1, :1] for name, tensor in batches[0].items()}
    for known in collect(tiny_model(), [one], weighted=weighted):
        assert known.tokens == 1
        assert float(known.second.abs().max()) <= 1e-12 * float(known.mean.abs().max()) ** 2

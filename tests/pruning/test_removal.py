from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aebert.pruning import removal
from aebert.pruning.moments import Moments
from aebert.pruning.removal import DAMPING, Repaired, repair_widths


class Problem:
    """Activations of a block, with what `repair_widths` may know of them, and the straight solution."""

    def __init__(self, x: torch.Tensor, *, out: int, size: int = 1, seed: int = 0, damping: float = DAMPING) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.x, self.size, self.damping = x.double(), size, damping
        self.weight = torch.randn(out, x.shape[1], generator=generator, dtype=torch.float64)
        self.bias = torch.randn(out, generator=generator, dtype=torch.float64)
        mixing = torch.randn(out, out, generator=generator, dtype=torch.float64)
        self.sensitivity = mixing @ mixing.T
        self.units = x.shape[1] // size

    @property
    def moments(self) -> Moments:
        second = torch.from_numpy(np.cov(self.x.numpy().T, bias=True).reshape(self.x.shape[1], self.x.shape[1]))
        return Moments(second=second, mean=self.x.mean(0), sensitivity=self.sensitivity, tokens=len(self.x))

    def run(self, widths: list[int] | None = None, group: int = 1) -> list[Repaired]:
        wanted = list(range(self.units + 1)) if widths is None else widths
        options = {"size": self.size, "group": group, "damping": self.damping}
        return list(repair_widths(self.weight, self.bias, self.moments, wanted, **options))  # type: ignore[arg-type]

    def design(self) -> torch.Tensor:
        """Rows of the least-squares problem: centred activations, and one row per input for the damping."""
        centred = (self.x - self.x.mean(0)) / math.sqrt(len(self.x))
        strength = math.sqrt(self.damping * float(centred.square().sum()) / self.x.shape[1])
        return torch.cat([centred, strength * torch.eye(self.x.shape[1], dtype=torch.float64)])

    def solution(self, units: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Best weight, bias and error with these units, from the activations themselves."""
        kept = [unit * self.size + part for unit in units for part in range(self.size)]
        design = self.design()
        weight = torch.linalg.lstsq(design[:, kept], design @ self.weight.T, driver="gelsd").solution.T
        missing = design @ self.weight.T - design[:, kept] @ weight.T  # [rows, out]
        bias = (self.x @ self.weight.T + self.bias - self.x[:, kept] @ weight.T).mean(0)
        error = sum(float(row @ self.sensitivity @ row) for row in missing)
        return weight, bias, error

    def check(self, found: Repaired) -> None:
        weight, bias, error = self.solution(found.units)
        torch.testing.assert_close(found.weight, weight, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(found.bias, bias, rtol=1e-6, atol=1e-8)
        assert found.error == pytest.approx(error, rel=1e-6, abs=1e-9)

    def best_removal(self, units: tuple[int, ...]) -> tuple[int, ...]:
        """Units after removing the one whose loss costs least, each tried."""
        left = [units[:place] + units[place + 1 :] for place in range(len(units))]
        return min(left, key=lambda some: self.solution(some)[2])


def correlated(tokens: int, units: int, seed: int = 0, *, gelu: bool = True) -> torch.Tensor:
    """Like a real FFN's activations: GELU of projections of far fewer directions, plus a little of their own."""
    generator = torch.Generator().manual_seed(seed)
    rank = max(2, units // 4)
    directions = torch.randn(rank, units, generator=generator) * torch.arange(1, rank + 1)[:, None] ** -0.5
    shared = torch.randn(tokens, rank, generator=generator) @ directions
    values = shared + 0.3 * torch.randn(tokens, units, generator=generator) - 0.3
    return torch.nn.functional.gelu(values) if gelu else values


# --- the repair of a given set ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [1, 3, 8])
@pytest.mark.parametrize(("size", "units"), [(1, 14), (4, 5)])
def test_every_width_is_the_least_squares_solution(size: int, units: int, group: int) -> None:
    problem = Problem(correlated(200, size * units), out=6, size=size)
    found = problem.run(group=group)
    assert [len(entry.units) for entry in found] == list(range(units, -1, -1))
    for entry in found:
        assert list(entry.units) == sorted(set(entry.units))
        problem.check(entry)


@given(
    tokens=st.integers(1, 12),
    units=st.integers(1, 6),
    size=st.integers(1, 3),
    out=st.integers(1, 4),
    group=st.integers(1, 4),
    damping=st.sampled_from([0.001, 0.01, 0.3]),
    seed=st.integers(0, 99),
)
def test_every_width_is_the_least_squares_solution_of_any_problem(
    tokens: int, units: int, size: int, out: int, group: int, damping: float, seed: int
) -> None:
    """Also with fewer tokens than inputs; a single token leaves all zeros, tested below."""
    x = correlated(tokens + 1, units * size, seed, gelu=False)
    problem = Problem(x, out=out, size=size, seed=seed, damping=damping)
    for entry in problem.run(group=group):
        problem.check(entry)


def test_what_damping_does() -> None:
    """Two units that are one and the same: undamped, the one left takes over all; damped by half, a part.

    Both x, variance 1; weights 1 and 1. With damping d the one left gets 1 + c with c the minimum of
    (1 − c)² + d c² + d · 1, so c = 1 / (1 + d), and costs (d / (1 + d))² + d / (1 + d)² + d.
    """
    both = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    for damping, weight, error in ((1e-9, 2.0, 0.0), (0.5, 1 + 2 / 3, 5 / 6)):
        moments = Moments(
            second=(both.T @ both).double() / 2,
            mean=torch.zeros(2).double(),
            sensitivity=torch.eye(1).double(),
            tokens=2,
        )
        _, one, _ = repair_widths(torch.ones(1, 2), torch.zeros(1), moments, [0, 1, 2], damping=damping)
        assert float(one.weight) == pytest.approx(weight, abs=1e-6)
        assert one.error == pytest.approx(error, abs=1e-6)


def test_no_unit_left_is_the_mean_output() -> None:
    problem = Problem(correlated(50, 10), out=3)
    (empty,) = problem.run([0])
    assert empty.units == ()
    assert empty.weight.shape == (3, 0)
    outputs = problem.x @ problem.weight.T + problem.bias
    torch.testing.assert_close(empty.bias, outputs.mean(0))


def test_all_units_left_are_the_dense_weights() -> None:
    problem = Problem(correlated(50, 10), out=3)
    (dense,) = problem.run([10])
    assert dense.units == tuple(range(10))
    assert torch.equal(dense.weight, problem.weight)
    torch.testing.assert_close(dense.bias, problem.bias, rtol=0, atol=1e-12)
    assert dense.error == 0.0


def test_the_block_s_own_weights_stay() -> None:
    problem = Problem(correlated(50, 10), out=3)
    moments = problem.moments
    before = [part.clone() for part in (problem.weight, problem.bias, moments.second, moments.mean)]
    list(repair_widths(problem.weight, problem.bias, moments, [0, 4]))
    after = (problem.weight, problem.bias, moments.second, moments.mean)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_what_was_yielded_stays() -> None:
    """Later removals do not write into it."""
    problem = Problem(correlated(50, 10), out=3)
    steps = repair_widths(problem.weight, problem.bias, problem.moments, [9, 5, 0])
    first = next(steps)
    held = first.weight.clone(), first.bias.clone()
    list(steps)
    assert torch.equal(first.weight, held[0])
    assert torch.equal(first.bias, held[1])


# --- which units ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "units"), [(1, 9), (1, 2), (3, 6), (8, 4)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_at_a_time_removes_what_brute_force_removes(size: int, units: int, seed: int) -> None:
    problem = Problem(correlated(300, size * units, seed), out=5, size=size, seed=seed)
    expected = tuple(range(units))
    for entry in problem.run()[1:]:
        expected = problem.best_removal(expected)
        assert entry.units == expected


def test_directions_that_the_output_does_not_feel_cost_nothing() -> None:
    """Unit 0 has by far the largest weights, but only into an output that changes nothing."""
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    weight = torch.tensor([[0.0, 1.0, 2.0], [100.0, 0.0, 0.0]])
    second = torch.from_numpy(np.cov(x.numpy().T, bias=True))
    felt = Moments(
        second=second, mean=x.mean(0).double(), sensitivity=torch.diag(torch.tensor([1.0, 0.0])).double(), tokens=500
    )
    even = Moments(second=second, mean=x.mean(0).double(), sensitivity=torch.eye(2).double(), tokens=500)
    kept = [next(repair_widths(weight, torch.zeros(2), known, [2])) for known in (felt, even)]
    assert [entry.units for entry in kept] == [(1, 2), (0, 2)]
    assert kept[0].error == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_groups_cost_at_most_two_percent_more_than_one_at_a_time(seed: int) -> None:
    """512 units: the narrowest FFN of a real checkpoint that we know (TinyBERT: 1,200; MiniLM: 1,536) has more."""
    problem = Problem(correlated(2000, 512, seed), out=48, seed=seed)
    widths = list(range(0, 512, 32))
    slow, fast = problem.run(widths, group=1), problem.run(widths, group=removal.GROUP)
    assert removal.GROUP > 1
    assert [entry.units for entry in slow[:-1]] != [entry.units for entry in fast[:-1]]
    for one, grouped in zip(slow, fast, strict=True):
        assert 0 < grouped.error <= 1.02 * one.error


@pytest.mark.parametrize(("size", "units"), [(1, 40), (4, 10)])
@pytest.mark.parametrize("group", [1, 8])
def test_units_are_nested_and_errors_grow(size: int, units: int, group: int) -> None:
    found = Problem(correlated(300, size * units), out=5, size=size).run(group=group)
    for wide, narrow in itertools.pairwise(found):
        assert set(narrow.units) < set(wide.units)
        assert 0.0 <= wide.error < narrow.error


def test_widths_are_yielded_once_each_from_the_widest() -> None:
    problem = Problem(correlated(300, 20), out=5)
    found = problem.run([3, 17, 3, 0, 20], group=8)
    assert [len(entry.units) for entry in found] == [20, 17, 3, 0]


# --- moments that could break the algebra -----------------------------------------------------------------------------


def assert_sane(problem: Problem, group: int) -> list[Repaired]:
    found = problem.run(group=group)
    for entry in found:
        assert bool(torch.isfinite(entry.weight).all())
        assert bool(torch.isfinite(entry.bias).all())
        assert math.isfinite(entry.error)
        assert entry.error >= 0.0
        assert float(entry.weight.abs().max() if entry.units else 0.0) < 1e3
    return found


def constant_units() -> torch.Tensor:
    x = correlated(100, 16)
    x[:, [0, 3, 15]] = torch.tensor([0.0, 5.0, -700.0])
    return x


def copies() -> torch.Tensor:
    return torch.cat([correlated(100, 8)] * 2, 1)


awkward = pytest.mark.parametrize(
    "x",
    [
        pytest.param(correlated(5, 16), id="fewer tokens than units"),
        pytest.param(correlated(1, 16), id="one token"),
        pytest.param(torch.zeros(50, 16), id="all zero"),
        pytest.param(torch.full((50, 16), 3.3), id="all constant"),
        pytest.param(constant_units(), id="some constant"),
        pytest.param(copies(), id="every unit twice"),
        pytest.param(correlated(100, 16) * torch.logspace(-6, 6, 16), id="scales of 12 decades"),
        pytest.param(correlated(100, 16) * 1e-12, id="tiny"),
    ],
)


@awkward
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("group", [1, 8])
def test_awkward_moments_give_finite_results(x: torch.Tensor, size: int, group: int) -> None:
    problem = Problem(x, out=5, size=size)
    found = assert_sane(problem, group)
    outputs = problem.x @ problem.weight.T + problem.bias
    torch.testing.assert_close(found[-1].bias, outputs.mean(0))


def test_constant_units_go_first_and_cost_next_to_nothing() -> None:
    """The bias takes up what they add."""
    problem = Problem(constant_units(), out=5)
    problem.weight /= problem.weight.norm(dim=0)  # so that the activations alone decide
    problem.sensitivity = torch.eye(5).double()
    found = assert_sane(problem, 1)
    assert set(found[0].units) - set(found[3].units) == {0, 3, 15}
    kept = list(found[3].units)
    before = problem.x @ problem.weight.T + problem.bias
    after = problem.x[:, kept] @ found[3].weight.T + found[3].bias
    torch.testing.assert_close(after, before, rtol=1e-6, atol=1e-6)


def test_moments_with_the_rounding_of_float32_do_not_break() -> None:
    """As a single token leaves them when its products were taken in float32: noise about 0, of either sign."""
    x = correlated(1, 16)
    mean = x[0].double()
    noise = (x.T @ x).double() - torch.outer(mean, mean)
    assert float(np.linalg.eigvalsh(noise.numpy())[0]) < 0
    shrunk = 1e-7 * (noise + noise.T) / 2  # centred before the product, as `collect_moments` does
    moments = Moments(second=shrunk, mean=mean, sensitivity=torch.eye(5).double(), tokens=1)
    for entry in repair_widths(torch.ones(5, 16), torch.zeros(5), moments, range(17)):
        assert bool(torch.isfinite(entry.weight).all())
        assert math.isfinite(entry.error)


def test_what_went_stays_gone() -> None:
    """Many small groups between two widths, so that removed units stay in the arrays; none is chosen twice."""
    problem = Problem(correlated(400, 60), out=4)
    found = problem.run([60, 1, 0], group=7)
    assert [len(entry.units) for entry in found] == [60, 1, 0]
    problem.check(found[1])

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from aebert.digests import file_digest, weights_digest
from aebert.errors import ModelError, OutputError
from aebert.models.counting import shape_of
from aebert.models.families import FAMILIES, Block, family_of
from aebert.progress import SILENT, Bar
from aebert.pruning import library
from aebert.pruning.architecture import Architecture
from aebert.pruning.library import BlockLibrary, LibrarySettings, build_library, error_table
from aebert.pruning.moments import Moments, collect_moments
from aebert.pruning.slicing import Selection, extract
from aebert.pruning.subnetwork import load_subnetwork

TinyModel = Callable[..., PreTrainedModel]
Tensors = dict[str, torch.Tensor]
every_family = pytest.mark.parametrize("family", list(FAMILIES))
both_heads = pytest.mark.parametrize("head", ["sequence", "token"])

WEIGHTED = LibrarySettings(weighted=True, seed=0, inputs="digest of this run")
PLAIN = replace(WEIGHTED, weighted=False)
HEADS, WIDTHS = (0, 1, 2, 3, 4), (0, 8, 24, 40, 64)


@pytest.fixture
def batches(padded_batch: Tensors) -> list[Tensors]:
    """Rows of other lengths than those the logits are compared on; 90 tokens, more than a block has units."""
    generator = torch.Generator().manual_seed(5)
    mask = (torch.arange(15) < torch.tensor([[15], [9], [15], [6]])).long()
    return [
        {"input_ids": torch.randint(3, 57, (4, 15), generator=generator) * mask, "attention_mask": mask}
        for _ in range(2)
    ]


def blocks_of(model: PreTrainedModel) -> list[Block]:
    family = family_of(model.config)
    return [*family.attention_blocks(model), *family.ffn_blocks(model)]


def widths_of(model: PreTrainedModel) -> list[Sequence[int]]:
    shape = shape_of(model)
    return [*[HEADS] * len(shape.heads), *[WIDTHS] * len(shape.ffn)]


def built(
    model: PreTrainedModel, batches: list[Tensors], folder: Path, settings: LibrarySettings = WEIGHTED
) -> BlockLibrary:
    build_library(model, batches, widths_of(model), folder, settings)
    return BlockLibrary(model, folder)


def uneven(model: PreTrainedModel) -> Architecture:
    """A dense block, an empty one and some between."""
    ffn = tuple([24, 0, 64, 8, 40, 24][: len(shape_of(model).ffn)])
    return Architecture((3, 1), ffn)


def logits(model: PreTrainedModel, batch: Tensors) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(**batch).logits
    return result


def digests(folder: Path) -> dict[str, str]:
    return {path.name: file_digest(path) for path in sorted(folder.iterdir())}


# --- what is stored --------------------------------------------------------------------------------------------------


@every_family
@both_heads
def test_every_block_is_stored_at_every_width(
    tiny_model: TinyModel, batches: list[Tensors], family: str, head: str, tmp_path: Path
) -> None:
    """Files read with safetensors alone."""
    model = tiny_model(family, head)
    assert build_library(model, batches, widths_of(model), tmp_path, WEIGHTED) == []
    blocks = blocks_of(model)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"block-00{n}.safetensors" for n in range(len(blocks))]
    for index, (block, widths) in enumerate(zip(blocks, widths_of(model), strict=True)):
        tensors = load_file(tmp_path / f"block-00{index}.safetensors")
        output = block.output.module
        size = output.in_features // max(widths)
        assert sorted(tensors["widths"].tolist()) == list(widths)
        errors = dict(zip(tensors["widths"].tolist(), tensors["errors"].tolist(), strict=True))
        assert errors[max(widths)] == 0.0
        assert [errors[width] for width in widths] == sorted(errors.values(), reverse=True)
        for width in widths:
            assert len(tensors[f"units.{width}"]) == width
            assert tensors[f"bias.{width}"].shape == (output.out_features,)
            assert tensors[f"bias.{width}"].dtype == torch.float32
            if 0 < width < max(widths):
                assert tensors[f"weight.{width}"].shape == (output.out_features, width * size)
                assert tensors[f"weight.{width}"].dtype == torch.float16


def test_the_dense_and_the_empty_block_are_stored_also_where_the_grid_lacks_them(
    tiny_model: TinyModel, batches: list[Tensors], tmp_path: Path
) -> None:
    model = tiny_model()
    build_library(model, batches, [(2,), (1, 3), (16,), (8,)], tmp_path, WEIGHTED)
    assert [sorted(errors) for errors in BlockLibrary(model, tmp_path).errors] == [
        [0, 2, 4], [0, 1, 3, 4], [0, 16, 64], [0, 8, 64]
    ]  # fmt: skip


@pytest.mark.parametrize("settings", [WEIGHTED, PLAIN], ids=["weighted", "plain"])
def test_a_second_build_elsewhere_gives_the_same_files(
    tiny_model: TinyModel, batches: list[Tensors], settings: LibrarySettings, tmp_path: Path
) -> None:
    model = tiny_model()
    first = built(model, batches, tmp_path / "a", settings)
    torch.manual_seed(77)
    second = built(tiny_model(), batches, tmp_path / "b", settings)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert first.errors == second.errors


def test_settings_change_what_is_stored(tiny_model: TinyModel, batches: list[Tensors], tmp_path: Path) -> None:
    model = tiny_model()
    tables = [
        built(model, batches, tmp_path / str(number), settings).errors
        for number, settings in enumerate((WEIGHTED, PLAIN, replace(WEIGHTED, seed=1)))
    ]
    assert tables[0] != tables[1]
    assert tables[0] != tables[2]


@pytest.mark.parametrize("index", range(4))
def test_errors_are_what_the_repair_costs_on_the_calibration_rows(
    tiny_model: TinyModel, batches: list[Tensors], index: int, tmp_path: Path
) -> None:
    """Unweighted: mean squared change of the block's output over real tokens, plus what damping asks of the weights."""
    model = tiny_model()
    found = built(model, batches, tmp_path, PLAIN)
    x = inputs_of(model, index, batches)
    dense = blocks_of(model)[index].output.module
    for width in widths_of(model)[index]:
        columns = kept_columns(tmp_path, model, index, width)
        pruned = blocks_of(found(alone(model, index, width)))[index].output.module
        with torch.no_grad():
            change = (pruned(x[:, columns]) - dense(x)).double().square().sum(1).mean()
            moved = dense.weight.double().clone()
            moved[:, columns] -= pruned.weight.double() if width else 0.0
        pull = 0.01 * x.double().var(0, unbiased=False).mean() * moved.square().sum()
        assert found.errors[index][width] == pytest.approx(float(change + pull), rel=1e-3, abs=1e-6)


@every_family
@pytest.mark.parametrize("settings", [WEIGHTED, PLAIN], ids=["weighted", "plain"])
def test_repair_brings_every_block_closer_than_the_same_units_without(
    tiny_model: TinyModel, batches: list[Tensors], family: str, settings: LibrarySettings, tmp_path: Path
) -> None:
    model = tiny_model(family)
    found = built(model, batches, tmp_path, settings)
    known = collect_moments(model, blocks_of(model), batches, weighted=settings.weighted, seed=0)
    attention = len(shape_of(model).heads)
    for step in range(4):  # of a block's output projection it doesn't matter how wide the others are
        counts = [widths[step] for widths in widths_of(model)]
        small = found(Architecture(tuple(counts[:attention]), tuple(counts[attention:])))
        for index, (block, mine, width) in enumerate(zip(blocks_of(model), blocks_of(small), counts, strict=True)):
            x, dense, pruned = inputs_of(model, index, batches), block.output.module, mine.output.module
            columns = kept_columns(tmp_path, model, index, width)
            with torch.no_grad():
                wanted, after = dense(x).double(), pruned(x[:, columns]).double()
                before = (x[:, columns] @ dense.weight[:, columns].T + dense.bias).double()
            if not settings.weighted:  # exact: the same tokens, the same weight each
                assert (after - wanted).square().sum() < (before - wanted).square().sum()
                continue
            # in the metric that was minimised, with the same damping on both
            assert found.errors[index][width] < unrepaired(dense, known[index], columns)


def unrepaired(dense: torch.nn.Linear, known: Moments, columns: torch.Tensor) -> float:
    """Expected squared change when units go and nothing else changes, damping included."""
    lost = dense.weight.detach().double().clone()
    lost[:, columns] = 0.0
    about_zero = known.second + torch.outer(known.mean, known.mean)
    about_zero = about_zero + 0.01 * known.second.diagonal().mean() * torch.eye(len(known.mean))
    return float((known.sensitivity * (lost @ about_zero @ lost.T)).sum())


def inputs_of(model: PreTrainedModel, index: int, batches: list[Tensors]) -> torch.Tensor:
    """What enters a block's output projection at real tokens, [tokens, inputs]."""
    seen: list[torch.Tensor] = []
    module = blocks_of(model)[index].output.module
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    for batch in batches:
        logits(model, batch)
    handle.remove()
    return torch.cat([x[batch["attention_mask"] == 1] for x, batch in zip(seen, batches, strict=True)])


def kept_columns(folder: Path, model: PreTrainedModel, index: int, width: int) -> torch.Tensor:
    """Inputs of the output projection that a stored entry keeps, by the file alone."""
    size = family_of(model.config).head_size(model.config) if index < len(shape_of(model).heads) else 1
    units = load_file(folder / f"block-00{index}.safetensors")[f"units.{width}"].long()
    columns: torch.Tensor = (units[:, None] * size + torch.arange(size)).reshape(-1)
    return columns


def alone(model: PreTrainedModel, index: int, width: int) -> Architecture:
    """Dense but for one block."""
    shape = shape_of(model)
    counts = [*shape.heads, *shape.ffn]
    counts[index] = width
    return Architecture(tuple(counts[: len(shape.heads)]), tuple(counts[len(shape.heads) :]))


# --- sub-networks ----------------------------------------------------------------------------------------------------


@every_family
@both_heads
def test_dense_gives_exactly_the_dense_logits(
    tiny_model: TinyModel, batches: list[Tensors], padded_batch: Tensors, family: str, head: str, tmp_path: Path
) -> None:
    model = tiny_model(family, head)
    small = built(model, batches, tmp_path)(Architecture.dense(shape_of(model)))
    assert torch.equal(logits(small, padded_batch), logits(model, padded_batch))


@every_family
@both_heads
def test_a_sub_network_is_the_dense_model_with_outputs_replaced_by_hand(
    tiny_model: TinyModel, batches: list[Tensors], padded_batch: Tensors, family: str, head: str, tmp_path: Path
) -> None:
    """The stored weights are scattered into the full-size output projections of a copy; nothing is cut."""
    model = tiny_model(family, head)
    architecture = uneven(model)
    small = built(model, batches, tmp_path)(architecture)
    by_hand = copy.deepcopy(model)
    counts = (*architecture.heads, *architecture.ffn)
    for index, (block, width, widths) in enumerate(zip(blocks_of(by_hand), counts, widths_of(model), strict=True)):
        if width == max(widths):
            continue
        stored = load_file(tmp_path / f"block-00{index}.safetensors")
        output, columns = block.output.module, kept_columns(tmp_path, model, index, width)
        output.weight.data.zero_()
        if width:
            output.weight.data[:, columns] = stored[f"weight.{width}"].float()
        output.bias.data = stored[f"bias.{width}"]
    expected = logits(by_hand, padded_batch)
    torch.testing.assert_close(logits(small, padded_batch), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(expected, logits(model, padded_batch), atol=1e-3)
    unrepaired = extract(model, selection_of(tmp_path, model, architecture))
    assert not torch.allclose(expected, logits(unrepaired, padded_batch), atol=1e-3)
    assert shape_of(small) == shape_of(unrepaired)
    assert not small.training


def selection_of(folder: Path, model: PreTrainedModel, architecture: Architecture) -> Selection:
    counts = (*architecture.heads, *architecture.ffn)
    kept = [
        tuple(load_file(folder / f"block-00{index}.safetensors")[f"units.{width}"].tolist())
        for index, width in enumerate(counts)
    ]
    return Selection(tuple(kept[: len(architecture.heads)]), tuple(kept[len(architecture.heads) :]))


@every_family
@both_heads
def test_saved_equals_reloaded(
    tiny_model: TinyModel, batches: list[Tensors], padded_batch: Tensors, family: str, head: str, tmp_path: Path
) -> None:
    model = tiny_model(family, head)
    small = built(model, batches, tmp_path / "library")(uneven(model))
    small.save_pretrained(tmp_path / "small")
    again = load_subnetwork(tmp_path / "small")
    assert torch.equal(logits(again, padded_batch), logits(small, padded_batch))
    assert weights_digest(again) == weights_digest(small)


@every_family
@pytest.mark.parametrize("share", [True, False])
def test_the_dense_model_and_the_files_stay_as_they_were(
    tiny_model: TinyModel, batches: list[Tensors], padded_batch: Tensors, family: str, share: bool, tmp_path: Path
) -> None:
    model = tiny_model(family).train()
    before = weights_digest(model)
    found = built(model, batches, tmp_path)
    files = digests(tmp_path)
    small = found(uneven(model), share_weights=share)
    assert (weights_digest(model), model.training) == (before, True)
    expected = logits(found(uneven(model)), padded_batch)
    assert torch.equal(logits(small, padded_batch), expected)
    mine = {parameter.data_ptr() for parameter in model.parameters()}
    assert bool(mine & {parameter.data_ptr() for parameter in small.parameters()}) == share
    with torch.no_grad():  # what is written into a sub-network's outputs reaches neither the dense model nor the files
        for block in blocks_of(small):
            for parameter in block.output.module.parameters():
                parameter += 1.0
    assert weights_digest(model) == before
    assert digests(tmp_path) == files
    assert torch.equal(logits(found(uneven(model)), padded_batch), expected)


@every_family
def test_sub_networks_can_be_trained(
    tiny_model: TinyModel, batches: list[Tensors], padded_batch: Tensors, family: str, tmp_path: Path
) -> None:
    """All weights of a repaired block get gradients, as those of any model."""
    model = tiny_model(family)
    small = built(model, batches, tmp_path)(uneven(model))
    small(**padded_batch).logits.square().sum().backward()
    for block in blocks_of(small):
        for parameter in block.output.module.parameters():
            assert parameter.requires_grad
            assert parameter.grad is not None


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            Architecture((4, 4), (64, 30)),
            r"block 3 must have a width of the library's grid \(0, 8, 24, 40, 64\), got 30",
        ),
        (Architecture((5, 4), (64, 64)), r"block 0 must have a width of the library's grid \(0, 1, 2, 3, 4\), got 5"),
    ],
)
def test_a_width_off_the_grid_is_an_error(
    tiny_model: TinyModel, batches: list[Tensors], architecture: Architecture, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=f"^{message}$"):
        built(tiny_model(), batches, tmp_path)(architecture)


@every_family
def test_pruned_models_have_a_library_too(
    tiny_model: TinyModel, batches: list[Tensors], padded_batch: Tensors, family: str, tmp_path: Path
) -> None:
    """Iterated pruning: an attention block and an FFN that are empty already."""
    dense = tiny_model(family)
    ffn = len(shape_of(dense).ffn)
    small = extract(dense, Selection(((), (0, 2, 3)), tuple((tuple(range(40)), ())[block % 2] for block in range(ffn))))
    widths: list[Sequence[int]] = [(0,), (0, 1, 2, 3), *((WIDTHS[:4], (0,))[block % 2] for block in range(ffn))]
    build_library(small, batches, widths, tmp_path, WEIGHTED)
    found = BlockLibrary(small, tmp_path)
    assert found.errors[0] == {}
    assert [table.tolist() for table in error_table(found, widths)][:2][0] == [0.0]
    same = found(Architecture.dense(shape_of(small)))
    assert torch.equal(logits(same, padded_batch), logits(small, padded_batch))
    smaller = found(Architecture((0, 2), tuple((24, 0)[block % 2] for block in range(ffn))))
    assert shape_of(smaller).ffn == tuple((24, 0)[block % 2] for block in range(ffn))
    assert bool(torch.isfinite(logits(smaller, padded_batch)).all())


def test_the_error_table_is_in_the_order_of_the_grid(
    tiny_model: TinyModel, batches: list[Tensors], tmp_path: Path
) -> None:
    model = tiny_model()
    found = built(model, batches, tmp_path)
    backwards = [tuple(reversed(widths)) for widths in widths_of(model)]
    for mine, other, errors in zip(
        error_table(found, widths_of(model)), error_table(found, backwards), found.errors, strict=True
    ):
        assert mine.tolist() == other[::-1].tolist()
        assert mine[-1] == 0.0
        assert list(mine) == sorted(errors.values(), reverse=True)
        assert bool(np.all(np.diff(mine) < 0))


# --- resumed, rebuilt, damaged ---------------------------------------------------------------------------------------


class Killed(Exception):
    pass


class DyingProgress:
    """Raises when `blocks` blocks are stored."""

    def __init__(self, blocks: int) -> None:
        self.left = blocks

    @contextmanager
    def bar(self, title: str, total: float | None) -> Iterator[Bar]:
        with SILENT.bar(title, total) as bar:
            yield self if title == "library" else bar

    def advance(self, steps: float = 1, note: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def say(self, line: str) -> None:
        pass


@pytest.mark.parametrize("stored", [1, 3])
@pytest.mark.parametrize("settings", [WEIGHTED, PLAIN], ids=["weighted", "plain"])
def test_a_stopped_build_goes_on_where_it_stopped(
    tiny_model: TinyModel, batches: list[Tensors], settings: LibrarySettings, stored: int, tmp_path: Path
) -> None:
    model = tiny_model("mobilebert")
    build_library(model, batches, widths_of(model), tmp_path / "whole", settings)
    stopped = tmp_path / "stopped"
    with pytest.raises(Killed):
        build_library(model, batches, widths_of(model), stopped, settings, DyingProgress(stored))
    assert len(list(stopped.iterdir())) == stored
    times = {path.name: path.stat().st_mtime_ns for path in stopped.iterdir()}
    build_library(model, batches, widths_of(model), stopped, settings)
    assert digests(stopped) == digests(tmp_path / "whole")
    assert {name: (stopped / name).stat().st_mtime_ns for name in times} == times


def test_a_finished_library_is_not_built_again(
    tiny_model: TinyModel, batches: list[Tensors], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model()
    build_library(model, batches, widths_of(model), tmp_path, WEIGHTED)
    monkeypatch.setattr(library, "collect_moments", lambda *_, **__: pytest.fail("no data is read"))
    assert build_library(model, batches, widths_of(model), tmp_path, WEIGHTED) == []


def test_other_inputs_build_anew(tiny_model: TinyModel, batches: list[Tensors], tmp_path: Path) -> None:
    model, other = tiny_model(seed=0), tiny_model(seed=1)
    build_library(model, batches, widths_of(model), tmp_path / "a", WEIGHTED)
    changed = replace(WEIGHTED, inputs="another digest")
    build_library(other, batches, widths_of(other), tmp_path / "b", changed)
    build_library(other, batches, widths_of(other), tmp_path / "a", changed)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def cut_to_nothing(path: Path) -> None:
    path.write_bytes(b"")


def scramble(path: Path) -> None:
    path.write_bytes(b"\xff" * 500)


def take_away(path: Path) -> None:
    path.unlink()


def put_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def store_something_else(path: Path) -> None:
    save_file({"weight": torch.ones(3)}, path)


every_damage = pytest.mark.parametrize(
    "damage", [truncate, cut_to_nothing, scramble, take_away, put_a_folder, store_something_else]
)


@every_damage
def test_a_damaged_file_is_an_error_of_one_line(
    tiny_model: TinyModel, batches: list[Tensors], damage: Callable[[Path], None], tmp_path: Path
) -> None:
    model = tiny_model()
    build_library(model, batches, widths_of(model), tmp_path, WEIGHTED)
    damage(tmp_path / "block-002.safetensors")
    with pytest.raises(ModelError, match=r"^block library [^\n]*block-002\.safetensors must [^\n]*: delete [^\n]*$"):
        BlockLibrary(model, tmp_path)


@pytest.mark.parametrize("damage", [truncate, cut_to_nothing, scramble, take_away, store_something_else])
def test_a_damaged_file_is_built_again(
    tiny_model: TinyModel, batches: list[Tensors], damage: Callable[[Path], None], tmp_path: Path
) -> None:
    model = tiny_model()
    build_library(model, batches, widths_of(model), tmp_path, WEIGHTED)
    before = digests(tmp_path)
    damage(tmp_path / "block-002.safetensors")
    build_library(model, batches, widths_of(model), tmp_path, WEIGHTED)
    assert digests(tmp_path) == before


def test_a_folder_that_cannot_be_written_is_an_error(
    tiny_model: TinyModel, batches: list[Tensors], tmp_path: Path
) -> None:
    model = tiny_model()
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="can't be written"):
        build_library(model, batches, widths_of(model), tmp_path / "file", WEIGHTED)


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "passes"), [(1, 8), (8 * 64**2, 7), (3 * 8 * 64**2, 3), (1 << 30, 1)])
def test_small_memory_gives_the_same_library_in_more_passes(
    tiny_model: TinyModel, batches: list[Tensors], limit: int, passes: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """MobileBERT: 2 attention blocks of 16 inputs (1/16 of an FFN's moments each) and 6 FFNs of 64.

    Three FFNs' worth: both attention blocks and 2 FFNs, 3 FFNs, 1 FFN.
    """
    model = tiny_model("mobilebert")
    build_library(model, batches, widths_of(model), tmp_path / "whole", WEIGHTED)
    parts: list[int] = []

    def counting(model: PreTrainedModel, blocks: Sequence[Block], *args: object, **options: object) -> object:
        parts.append(len(blocks))
        return collect_moments(model, blocks, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(library, "collect_moments", counting)
    monkeypatch.setattr(library, "MOMENTS_BYTES", limit)
    build_library(model, batches, widths_of(model), tmp_path / "parts", WEIGHTED)
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")
    assert len(parts) == passes
    assert sum(parts) == len(blocks_of(model))


def test_files_are_read_when_a_block_is_looked_up(
    tiny_model: TinyModel, batches: list[Tensors], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened once each with `safe_open`, which maps them; per sub-network only the chosen width's tensors are read."""
    model = tiny_model()
    build_library(model, batches, widths_of(model), tmp_path, WEIGHTED)
    opened: list[Path] = []
    read: list[str] = []

    class Watching:
        def __init__(self, path: Path, framework: str) -> None:
            opened.append(path)
            self.file = safe_open(path, framework=framework)

        def get_tensor(self, name: str) -> torch.Tensor:
            read.append(name)
            return self.file.get_tensor(name)  # type: ignore[no-any-return, no-untyped-call]

    monkeypatch.setattr(library, "safe_open", Watching)
    found = BlockLibrary(model, tmp_path)
    assert [path.name for path in opened] == [f"block-00{index}.safetensors" for index in range(4)]
    read.clear()
    for _ in range(2):
        found(Architecture((3, 0), (64, 8)))
    assert len(opened) == 4
    assert set(read) == {
        "units.3",
        "weight.3",
        "bias.3",
        "units.0",
        "bias.0",
        "units.64",
        "units.8",
        "weight.8",
        "bias.8",
    }


# --- small and strange calibration sets ------------------------------------------------------------------------------


def test_fewer_tokens_than_units_are_warned_of(
    tiny_model: TinyModel, batches: list[Tensors], padded_batch: Tensors, tmp_path: Path
) -> None:
    model = tiny_model()
    (note,) = build_library(model, [padded_batch], widths_of(model), tmp_path / "22", WEIGHTED)
    assert note == (
        "calibration has 22 tokens for blocks of up to 64 units: the repair is held back by damping; "
        "raise pruning.calibration_rows"
    )
    assert build_library(model, [padded_batch] * 3, widths_of(model), tmp_path / "66", WEIGHTED) == []


def test_several_passes_warn_once(
    tiny_model: TinyModel, padded_batch: Tensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "MOMENTS_BYTES", 1)
    model = tiny_model()
    assert len(build_library(model, [padded_batch], widths_of(model), tmp_path, WEIGHTED)) == 1


@every_family
@pytest.mark.parametrize(("settings", "tokens"), [(WEIGHTED, 1), (PLAIN, 1), (WEIGHTED, 2)], ids=["1", "1 plain", "2"])
def test_one_or_two_tokens_are_enough_to_build(
    tiny_model: TinyModel, padded_batch: Tensors, family: str, settings: LibrarySettings, tokens: int,
    tmp_path: Path,
) -> None:  # fmt: skip
    model = tiny_model(family)
    batch = {name: tensor[:1, :tokens] for name, tensor in padded_batch.items()}
    (note,) = build_library(model, [batch], widths_of(model), tmp_path, settings)
    assert f"calibration has {tokens} tokens" in note
    found = BlockLibrary(model, tmp_path)
    assert all(np.isfinite(table).all() for table in error_table(found, widths_of(model)))
    small = found(uneven(model))
    assert bool(torch.isfinite(logits(small, padded_batch)).all())
    if tokens == 1:  # the biases can hold all that one token needs
        torch.testing.assert_close(logits(small, batch), logits(model, batch), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("settings", [WEIGHTED, PLAIN], ids=["weighted", "plain"])
@pytest.mark.parametrize("value", [0.0, 1.7, -3e4, 1e-20])
def test_units_that_never_change_do_no_harm(
    tiny_model: TinyModel, batches: list[Tensors], padded_batch: Tensors, settings: LibrarySettings, value: float,
    tmp_path: Path,
) -> None:  # fmt: skip
    """An FFN whose inner activations are all constant: GELU of a bias (negative: 0)."""
    model = tiny_model()
    up = blocks_of(model)[2].inputs[0].module
    up.weight.data.zero_()
    up.bias.data.fill_(value)
    small = built(model, batches, tmp_path, settings)(alone(model, 2, 8))
    torch.testing.assert_close(logits(small, padded_batch), logits(model, padded_batch), rtol=1e-3, atol=1e-3)

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aebert.errors import ConfigError
from aebert.models.shape import ModelShape
from aebert.pruning.architecture import Architecture
from aebert.search.space import Range, SearchSpace, load_space, make_grid, space_folder

# 12 heads, 1536 neurons, 6 layers: MiniLM-L6
MINILM = ModelShape(
    family="bert",
    hidden=384,
    head_size=32,
    ffn_per_layer=1,
    heads=(12,) * 6,
    ffn=(1536,) * 6,
    head_params=(49248,) * 6,
    ffn_params=(769,) * 6,
    head_macs=(49152,) * 6,
    ffn_macs=(768,) * 6,
    fixed_params=13824,
    fixed_macs=0,
    other_params=12067202,
)
# 2 layers of 3 FFNs
MOBILE = ModelShape(
    family="mobilebert",
    hidden=32,
    head_size=4,
    ffn_per_layer=3,
    heads=(4, 4),
    ffn=(64,) * 6,
    head_params=(9, 9),
    ffn_params=(9,) * 6,
    head_macs=(9, 9),
    ffn_macs=(9,) * 6,
    fixed_params=0,
    fixed_macs=0,
    other_params=0,
)
NAMES = ("default", "ffn-only", "fine-grid", "keep-all-blocks", "per-layer")


def test_the_folder_has_the_named_spaces() -> None:
    assert sorted(path.stem for path in space_folder().iterdir()) == sorted(NAMES)


@pytest.mark.parametrize(
    ("name", "heads", "ffn", "per"),
    [
        ("default", Range(min=0, step=1), Range(min=0, step=32), "block"),
        ("ffn-only", Range(min="all", step=1), Range(min=0, step=32), "block"),
        ("fine-grid", Range(min=0, step=1), Range(min=0, step=1), "block"),
        ("keep-all-blocks", Range(min=1, step=1), Range(min=32, step=32), "block"),
        ("per-layer", Range(min=0, step=1), Range(min=0, step=32), "layer"),
    ],
)
def test_named_spaces_load_and_tell_their_source(name: str, heads: Range, ffn: Range, per: str) -> None:
    space = load_space(name)
    assert (space.heads, space.ffn, space.per) == (heads, ffn, per)
    assert len(space.source) > 10
    make_grid(space, MINILM)


def test_a_path_is_a_space_too(tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text("source: me\nheads: {min: 2}\n", encoding="utf-8")
    assert load_space(str(tmp_path / "mine.yml")) == SearchSpace(source="me", heads=Range(min=2))


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        load_space("per-layers")
    assert str(caught.value) == (
        "search space 'per-layers' does not exist (did you mean 'per-layer'?); "
        "known: default, ffn-only, fine-grid, keep-all-blocks, per-layer, or a .yaml file"
    )


def test_an_absent_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^search space '.*none\.yaml' does not exist; known: default, .*$"):
        load_space(str(tmp_path / "none.yaml"))


def test_a_file_may_lie_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(space_folder() / "fine-grid.yaml", tmp_path / "mine.yaml")
    assert load_space("~/mine.yaml") == load_space("fine-grid")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "source: me\nhead: {min: 1}",
            "unknown key 'head' (did you mean 'heads'?); known here: source, heads, ffn, weights, per",
        ),
        ("source: me\nffn: {stepp: 1}", "unknown key 'ffn.stepp' (did you mean 'step'?); known here: min, step"),
        ("source: me\nffn: {step: 0}", "ffn.step: input should be greater than or equal to 1, got 0"),
        ("source: me\nheads: {min: -1}", "heads.min: input should be greater than or equal to 0, got -1"),
        ("source: me\nheads: {min: most}", "heads.min: "),
        ("source: me\nper: head", "per: input should be 'block' or 'layer', got 'head'"),
        ("heads: {min: 1}", "source: field required"),
        ("- a", "must be a mapping of keys to values, got list"),
        ("source: [", "must be YAML"),
    ],
)
def test_wrong_files_are_told_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_space(str(path))
    told = str(caught.value)
    assert message in told
    assert str(path) in told
    assert "\n" not in told


def test_a_file_that_is_no_text_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("source: José".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml must be UTF-8 text: byte 11 is not$"):
        load_space(str(path))


def test_min_must_not_pass_the_width_of_any_block() -> None:
    narrow = replace(MINILM, heads=(12, 12, 12, 3, 12, 12))
    space = SearchSpace(source="", heads=Range(min=4))
    make_grid(space, MINILM)
    with pytest.raises(
        ConfigError, match=r"^heads\.min of the search space must be at most 3, the model's width, got 4$"
    ):
        make_grid(space, narrow)
    with pytest.raises(ConfigError, match=r"^ffn\.min of the search space must be at most 1536, .*got 1537$"):
        make_grid(SearchSpace(source="", ffn=Range(min=1537)), MINILM)


def test_levels_run_from_min_to_full_even_where_the_step_does_not_divide() -> None:
    shape = replace(MINILM, heads=(12,), ffn=(100,))
    grid = make_grid(SearchSpace(source="", heads=Range(min=1, step=4), ffn=Range(min=10, step=40)), shape)
    assert grid.last.tolist() == [3, 3]
    levels = [grid.widths(np.array([level, level])).tolist() for level in range(4)]
    assert levels == [[1, 10], [5, 50], [9, 90], [12, 100]]
    assert grid.ladder.tolist() == [[1, 5, 9, 12], [10, 50, 90, 100]]
    assert grid.architecture(np.array([3, 1])) == Architecture((12,), (50,))


@pytest.mark.parametrize(
    ("heads", "ffn", "levels"),
    [
        (1, 10, [0, 0]),
        (3, 30, [0, 0]),  # as near to 5 as to 1: the smaller
        (4, 31, [1, 1]),
        (10, 95, [2, 2]),  # 9 or 12; 90 or 100
        (11, 96, [3, 3]),
        (0, 0, [0, 0]),  # below the space's min
    ],
)
def test_an_architecture_is_on_its_nearest_levels(heads: int, ffn: int, levels: list[int]) -> None:
    shape = replace(MINILM, heads=(12,), ffn=(100,))
    grid = make_grid(SearchSpace(source="", heads=Range(min=1, step=4), ffn=Range(min=10, step=40)), shape)
    assert grid.levels(Architecture((heads,), (ffn,))).tolist() == levels


def test_climbs_turn_over_in_the_middle_of_two_widths() -> None:
    shape = replace(MINILM, heads=(12,), ffn=(100,))
    grid = make_grid(SearchSpace(source="", heads=Range(min="all"), ffn=Range(min=20, step=50)), shape)
    block, level, middle = grid.climbs  # neurons 20, 70, 100; nothing to climb for the heads
    assert (block.tolist(), level.tolist()) == ([1, 1], [0, 1])
    assert middle.tolist() == [25 / 80, 65 / 80]


@given(st.data())
def test_architectures_of_the_grid_survive_both_forms(data: st.DataObject) -> None:
    step = data.draw(st.integers(1, 70))
    grid = make_grid(SearchSpace(source="", heads=Range(min=2, step=3), ffn=Range(step=step)), MOBILE)
    levels = np.array([data.draw(st.integers(0, int(last))) for last in grid.last])
    found = grid.architecture(levels)
    assert grid.levels(found).tolist() == levels.tolist()
    shares = grid.preferences(found)
    assert ((shares >= 0) & (shares <= 1)).all()
    assert (grid.low + shares * (grid.full - grid.low)).tolist() == pytest.approx([*found.heads, *found.ffn])


def test_preferences_per_layer_are_means_over_the_blocks_that_can_be_pruned() -> None:
    grid = make_grid(SearchSpace(source="", per="layer"), MOBILE)
    kept = Architecture((4, 0), (0, 32, 64, 64, 16, 0))
    assert grid.preferences(kept).tolist() == [(1 + 0 + 0.5 + 1) / 4, (0 + 1 + 0.25 + 0) / 4]
    grid = make_grid(SearchSpace(source="", heads=Range(min="all"), per="layer"), MOBILE)
    assert grid.preferences(kept).tolist() == [(0 + 0.5 + 1) / 3, (1 + 0.25 + 0) / 3]


def test_an_architecture_must_have_the_grid_s_blocks() -> None:
    grid = make_grid(SearchSpace(source=""), MOBILE)
    for wrong in (Architecture((4,), (64,) * 6), Architecture((4, 4), (64,) * 5), Architecture((4,), (64,) * 7)):
        with pytest.raises(ValueError, match="architecture must have the grid's 8 blocks, 2 of them attention, got"):
            grid.levels(wrong)


def test_all_leaves_one_level() -> None:
    grid = make_grid(SearchSpace(source="", heads=Range(min="all", step=5)), MINILM)
    assert grid.last.tolist() == [0] * 6 + [48] * 6
    assert grid.ladder.shape == (12, 49)
    assert grid.ladder[0].tolist() == [12] * 49
    assert grid.ladder[6, [0, 1, 48]].tolist() == [0, 32, 1536]
    nothing_kept = Architecture((12,) * 6, (0,) * 6)
    assert grid.levels(nothing_kept).tolist() == [0] * 12
    assert grid.preferences(nothing_kept).tolist() == [0.0] * 12
    assert grid.preferences(Architecture((12,) * 6, (768,) * 6)).tolist() == [0.0] * 6 + [0.5] * 6


def test_one_preference_per_block_or_per_layer() -> None:
    block = make_grid(SearchSpace(source=""), MOBILE)
    assert block.names == ("heads.0", "heads.1", "ffn.0", "ffn.1", "ffn.2", "ffn.3", "ffn.4", "ffn.5")
    assert block.preference.tolist() == list(range(8))
    layer = make_grid(SearchSpace(source="", per="layer"), MOBILE)
    assert layer.names == ("layer.0", "layer.1")
    assert layer.preference.tolist() == [0, 1, 0, 0, 0, 1, 1, 1]

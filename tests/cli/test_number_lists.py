from __future__ import annotations

import pytest

from aebert.cli.number_lists import check_spelling, numbers
from aebert.errors import ConfigError

from .conftest import Aebert


@pytest.mark.parametrize(
    ("given", "meant"), [(["16"], (16,)), (["16,32"], (16, 32)), (["64, 8"], (64, 8)), (["16", "32,8"], (16, 32, 8))]
)
def test_numbers_have_commas_between_them_or_an_option_each(given: list[str], meant: tuple[int, ...]) -> None:
    assert numbers(given, "--lengths") == meant


@pytest.mark.parametrize("given", ["", "16,", "16;32", "16 32", "0", "-1", "1.5", "many", "16,16", "16,016"])
def test_what_is_no_list_of_numbers_is_refused(given: str) -> None:
    with pytest.raises(ConfigError) as caught:
        numbers([given], "--batches")
    assert str(caught.value) == (
        f"--batches takes different whole numbers above 0 with commas between them, such as 16,32, got {given!r}"
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("profile a.onnx --lengths 16 32 --runs 3", "--lengths 16,32"),
        ("profile --lengths 16 32 a.onnx", "--lengths 16,32"),
        ("profile a.onnx --batches 1 2 4", "--batches 1,2,4"),
        ("profile a.onnx --lengths 8 --threads=1 2", "--threads 1,2"),
        ("profile a.onnx --lengths 16, 32", "--lengths 16,32"),
        ("latency-table x.yaml --out y.json --lengths 16 32", "--lengths 16,32"),
        ("latency-table --threads 1 2 x.yaml --out y.json", "--threads 1,2"),
    ],
)
def test_numbers_with_blanks_between_them_are_one_line_that_says_how(typed: str, meant: str, aebert: Aebert) -> None:
    line = f"aebert: error: {meant.split()[0]} takes numbers with commas between them: write {meant}\n"
    assert aebert(*typed.split()) == (2, "", line)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "profile a.onnx --lengths 16,32 b.onnx 7",
        "profile a.onnx --lengths=16 b.onnx",
        "profile a.onnx --runs 3 4",
        "profile 7 8 --lengths 16",
        "profile a.onnx --lengths",
        "predict --threads 2 5",  # takes one number, and a bundle may be called 5
        "pareto --threads 1 5",
    ],
)
def test_other_numbers_are_left_alone(typed: str) -> None:
    check_spelling(typed.split())

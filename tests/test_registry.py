from __future__ import annotations

from collections.abc import Callable

import pytest

from aebert.errors import ConfigError
from aebert.registry import Registry, nearest


@pytest.fixture
def fruits() -> Registry[int]:
    registry: Registry[int] = Registry("fruit")
    registry.add("pear", 1)
    registry.add("apple", 2)
    return registry


def test_values_come_by_name_in_order_of_registration(fruits: Registry[int]) -> None:
    assert (list(fruits), len(fruits), fruits["apple"]) == (["pear", "apple"], 2, 2)
    assert "pear" in fruits
    assert "plum" not in fruits


def test_the_decorator_returns_what_it_registers() -> None:
    registry: Registry[Callable[[], int]] = Registry("function")

    @registry.register("one")
    def one() -> int:
        return 1

    assert registry["one"] is one
    assert one() == 1


def test_an_unknown_name_lists_the_known_ones_and_the_nearest(fruits: Registry[int]) -> None:
    with pytest.raises(ConfigError, match=r"^unknown fruit 'aple' \(did you mean 'apple'\?\); known: apple, pear$"):
        fruits["aple"]


def test_a_name_like_no_other_gets_no_suggestion(fruits: Registry[int]) -> None:
    with pytest.raises(ConfigError, match=r"^unknown fruit 'xyz'; known: apple, pear$"):
        fruits["xyz"]


def test_a_name_is_taken_once(fruits: Registry[int]) -> None:
    with pytest.raises(ValueError, match="fruit 'pear' is registered twice"):
        fruits.add("pear", 3)
    assert fruits["pear"] == 1


def test_nearest() -> None:
    assert nearest("trails", ["space", "trials"]) == " (did you mean 'trials'?)"
    assert nearest("zzz", ["space", "trials"]) == ""

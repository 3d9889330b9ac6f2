"""Settings that transformers reads, against its own source; the cases of the table test what is refused."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import fields

import pytest
from transformers import CONFIG_MAPPING

from aebert.errors import ModelError
from aebert.models.families import FAMILIES
from aebert.models.heads import base_class
from aebert.models.settings import HARMLESS, build_config, refused_settings, unread_settings


def _source(family: str) -> str:
    """The code of a family: its modules, and its config, which may compute one setting from another."""
    modules = [sys.modules[one.__module__] for one in (base_class(family), CONFIG_MAPPING[family])]
    return "\n".join(inspect.getsource(module) for module in modules)


def _unread(family: str, source: str) -> list[str]:
    names = [field.name for field in fields(CONFIG_MAPPING[family])]
    return [name for name in names if not re.search(rf"(config|self)\.{name}\b", source) and name not in HARMLESS]


@pytest.mark.parametrize("family", list(FAMILIES))
def test_transformers_reads_every_setting_that_is_handed_to_it(family: str) -> None:
    """When a version stops reading one, as it did with `position_embedding_type`, that must become an error here."""
    assert _unread(family, _source(family)) == ["is_encoder_decoder"][: "is_encoder_decoder" not in _source(family)]


def test_a_setting_that_is_no_longer_read_is_found() -> None:
    source = _source("bert").replace("config.layer_norm_eps", "1e-12")
    assert "layer_norm_eps" in _unread("bert", source)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_the_defaults_of_a_family_are_accepted(family: str) -> None:
    stated = CONFIG_MAPPING[family]().to_dict()
    assert refused_settings(stated, family) is None
    assert unread_settings(stated, family) == ()


def test_a_config_has_the_stated_sizes_and_nothing_that_was_not_read() -> None:
    stated = {"hidden_size": 32, "num_attention_heads": 4, "my_run": 7, "output_attentions": True, "dtype": "float16"}
    config = build_config(stated, "bert", 5)
    assert (config.hidden_size, config.num_labels, config.output_attentions) == (32, 5, False)
    assert config.dtype is None
    assert not hasattr(config, "my_run")


def test_a_width_under_its_general_name_is_read() -> None:
    assert build_config({"hidden_size": 32, "num_attention_heads": 4}, "distilbert", 2).dim == 32


def test_sizes_that_do_not_fit_each_other_are_one_line() -> None:
    with pytest.raises(ModelError) as caught:
        build_config({"hidden_size": "wide"}, "bert", 2)
    assert "hidden_size" in str(caught.value)
    assert "\n" not in str(caught.value)

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aebert.errors import ModelError
from aebert.models.counting import shape_of
from aebert.models.stored import stored_shape


@pytest.mark.parametrize("head", ["sequence", "token"])
def test_a_shape_needs_no_weights_and_has_the_models_output_layer(tiny_model: Any, tmp_path: Path, head: str) -> None:
    model = tiny_model("bert", head=head, labels=3)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(tmp_path)
    assert stored_shape(tmp_path) == shape_of(model)


def test_a_folder_without_a_model_has_no_shape(tmp_path: Path) -> None:
    assert stored_shape(tmp_path) is None


def test_a_damaged_config_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "no-such-family"}', encoding="utf-8")
    with pytest.raises(ModelError) as caught:
        stored_shape(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)

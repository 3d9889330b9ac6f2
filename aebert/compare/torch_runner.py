"""The runner that measures checkpoints too, in torch eager: `python -m aebert.compare.torch_runner JOB.json`."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoModelForTokenClassification

import aebert.pruning.subnetwork  # noqa: F401  teaches the Auto classes about sub-networks
from aebert.compare.runner import Answer, main, open_onnx
from aebert.deployment.session import Feed
from aebert.errors import ModelError
from aebert.models.loading import one_line_errors, quiet_loading


def open_checkpoint(path: Path, threads: int) -> Answer:
    """A function that answers requests with a checkpoint folder in torch eager, float32, as transformers loads it.

    It sets torch's threads for the whole process. Raises: ModelError when it can't be loaded, or run on a request.
    """
    torch.set_num_threads(threads)
    with one_line_errors(str(path)), quiet_loading():
        model = _auto_class(path).from_pretrained(path, dtype=torch.float32).eval()
    taken = inspect.signature(model.forward).parameters

    def answer(request: Feed) -> object:
        # position_ids are left to the model: RoBERTa's do not start at 0
        tensors = {
            name: torch.from_numpy(values)
            for name, values in request.items()
            if name in taken and name != "position_ids"
        }
        try:
            with torch.inference_mode():
                return model(**tensors)
        except (RuntimeError, IndexError, ValueError) as error:
            batch, length = request["input_ids"].shape
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"{path.name} can't run on {batch} × {length} tokens: {reason}") from None

    return answer


def _auto_class(path: Path) -> Any:
    """The class that the checkpoint was saved from if it is one for a task, else that of the bare encoder."""
    architectures = AutoConfig.from_pretrained(path).architectures or [""]
    if architectures[0].endswith("ForSequenceClassification"):
        return AutoModelForSequenceClassification
    return AutoModelForTokenClassification if architectures[0].endswith("ForTokenClassification") else AutoModel


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], {"onnx": open_onnx, "checkpoint": open_checkpoint}))

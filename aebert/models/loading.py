"""Calls into transformers: quiet, and with errors of one line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from aebert.errors import AebertError, ModelError


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Silence the loading report and the progress bar of transformers: aebert checks what they say."""
    logger, bars = logging.getLogger("transformers"), transformers_logging.is_progress_bar_enabled()
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def one_line_errors(path: str) -> Iterator[None]:
    """Turn what transformers and safetensors raise on bad checkpoints into a `ModelError` of one line."""
    try:
        yield
    except AebertError:
        raise
    except SafetensorError as error:
        raise ModelError(f"weights of {path} are damaged or truncated ({error}): copy them again") from error
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        if "ignore_mismatched_sizes" in reason:  # it refers to a report that we silence
            reason = "its weights have other sizes than its config, or the task's number of outputs, asks for"
        raise ModelError(f"checkpoint {path} can't be loaded: {reason}") from error

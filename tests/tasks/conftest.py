import os
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import BertTokenizerFast, PreTrainedTokenizerFast

PIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat ##s sat on mat dog ran ##ning . , up"


def wordpiece_tokenizer(pieces: str = PIECES) -> PreTrainedTokenizerFast:
    """A BERT tokenizer whose ids are the places of its pieces: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, the 5, cat 6 ..."""
    return BertTokenizerFast(vocab={piece: index for index, piece in enumerate(pieces.split())})


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return wordpiece_tokenizer()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file below `tmp_path`; text as UTF-8 with its line ends as they are."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture
def corpora() -> Path:
    """Folder of the real corpora."""
    folder = os.environ.get("AEBERT_DATA")
    if not folder:
        pytest.skip("AEBERT_DATA is not set: the real corpora are not here")
    return Path(folder)

"""`python -m aebert.runtime BUNDLE --input FILE`: predictions where nothing but the runtime is installed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from aebert.errors import AebertError, printable
from aebert.runtime.checks import verify
from aebert.runtime.decoding import UTF_8
from aebert.runtime.model import BATCH
from aebert.runtime.stream import FORMATS, PredictOptions, predict_rows
from aebert.runtime.words import WORD_RULES

SEPARATOR_HELP = "character between the cells of a CSV file; by default found by its header line"
TEXT_HELP = "column of a table that holds the text, two with a comma for pairs; by default as in training"


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict rows, or verify; a user's error is one line and exit code 2."""
    given = _parser().parse_args(arguments)
    try:
        if given.verify:
            for check in verify(given.bundle, given.threads):
                print(printable(f"{check.name}: {check.detail}"))
        else:
            options = {key: value for key, value in vars(given).items() if key != "verify"}
            predict_rows(PredictOptions(**options))
    except AebertError as error:
        print(f"aebert.runtime: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m aebert.runtime", description="Predict texts with a bundle.")
    parser.add_argument("bundle", type=Path, help="folder or zip file")
    parser.add_argument("--input", type=Path, help="table (.csv, .tsv, .jsonl) or lines; standard input by default")
    parser.add_argument("--text", action="append", default=[], metavar="COLUMN", help=TEXT_HELP)
    parser.add_argument(
        "--format", choices=FORMATS, default="json", help="json: an object per row; npy: an array of embeddings"
    )
    parser.add_argument("--batch", type=int, default=BATCH, help="most rows at a time; 1 answers each at once")
    parser.add_argument("--threads", type=int, default=1, help="threads that the graph is computed with")
    parser.add_argument("--max-length", type=int, help="most tokens of a row; by default as in training")
    parser.add_argument("--words", choices=WORD_RULES, help="how NER text is cut into words")
    parser.add_argument("--separator", metavar="CHARACTER", help=SEPARATOR_HELP)
    parser.add_argument("--encoding", default=UTF_8, metavar="NAME", help="that of the input, by its Python name")
    parser.add_argument("--verify", action="store_true", help="check the bundle instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())

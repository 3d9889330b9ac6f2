"""How small and how fast is MobileBERT as a FlatBuffer, dense and as sub-networks, in float32, int8 and int4?

The published system is MobileBERT as a quantized FlatBuffer, 160 times smaller than BERT-large and at least one tweet a
second on edge boards (arXiv 2310.03971). Here: both models from their published configurations, which are the defaults
of transformers, with random weights: enough for size and speed, and nothing about quality. Sub-networks keep the same
share of every block. A model "trimmed" has an embedding table for the pieces of the training tweets only, without the
further characters that `pruning.vocabulary` keeps.

With AEBERT_DATA (or --data) the tweets of SemEval 2017 and the BERT vocabulary are read from there, else rows are
random.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Ledger, Spread, make_parser, table, write_result
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertTokenizerFast,
    MobileBertConfig,
    MobileBertForSequenceClassification,
    PreTrainedModel,
)

from aebert.deployment.litert import Bits, export_litert, quantize_litert
from aebert.deployment.litert_session import LiteRTModel
from aebert.deployment.parity import check_logits
from aebert.models.counting import shape_of
from aebert.models.shape import ModelShape
from aebert.profiling.memory import peak_memory_bytes
from aebert.profiling.sampling import interleave, spread
from aebert.pruning.architecture import Architecture
from aebert.pruning.slicing import Selection, extract
from aebert.search.budget import make_budget
from aebert.search.first import uniform
from aebert.search.space import load_space, make_grid
from aebert.terminal import quiet_libraries

LABELS = 3  # negative, neutral, positive, as in RepLab 2013
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
KINDS: Mapping[str, Bits | None] = {"float32": None, "int8": 8, "int4": 4}
TARGET, ALLOWED = 160, 1.2  # times smaller than BERT-large, and how near counts
LARGE = BertConfig(
    hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096, num_labels=LABELS
)
TRAINING = ("twitter-2016train-CE.tsv", "twitter-2016dev-CE.tsv", "twitter-2016devtest-CE.tsv")
HELD_OUT = "SemEval2017-task4-test.subtask-CE.english.txt"


@dataclass(frozen=True)
class Variant:
    """A MobileBERT. removed: share of the encoder's parameters; 1 for all that can go. vocabulary: pieces."""

    removed: float
    vocabulary: int
    trimmed: bool = False

    @property
    def name(self) -> str:
        """As the table calls it."""
        size = {0.0: "dense", 1.0: "no block left"}.get(self.removed, f"{100 * self.removed:.0f} % removed")
        return size + (", trimmed" if self.trimmed else "")


@dataclass(frozen=True)
class Tweets:
    """ids of the held-out tweets, one list each; used: pieces of the training tweets, special ones included.

    known: share of the held-out tweets' pieces that are among `used`.
    """

    ids: Sequence[Sequence[int]]
    used: int
    known: float | None
    real: bool


def read_tweets(data: Path | None, length: int) -> Tweets:
    """From the data folder, or random ones of up to `length` pieces."""
    if data is None:
        generator = np.random.default_rng(0)
        sizes = generator.integers(length // 3, length + 1, 200)
        return Tweets([generator.integers(1000, 30000, size).tolist() for size in sizes], 15000, None, False)
    vocabulary = (data / "vocab" / "bert-base-uncased-vocab.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = BertTokenizerFast(vocab={piece: place for place, piece in enumerate(vocabulary)})
    folder = data / "tweets" / "semeval2017-4CE"
    training = Counter(piece for name in TRAINING for ids in _encoded(tokenizer, folder / name) for piece in ids)
    ids = list(_encoded(tokenizer, folder / HELD_OUT))
    pieces = [piece for one in ids for piece in one]
    known = sum(piece in training for piece in pieces) / len(pieces)
    return Tweets(ids, len(training.keys() | set(tokenizer.all_special_ids)), known, True)


def _encoded(tokenizer: BertTokenizerFast, path: Path) -> Iterator[list[int]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = dict.fromkeys(line.split("\t")[3] for line in lines if line.count("\t") >= 3)
    encoded: list[list[int]] = tokenizer(list(texts))["input_ids"]
    return iter(encoded)


def make_model(variant: Variant) -> PreTrainedModel:
    """With random weights, in eval mode; a sub-network keeps the first units of each block."""
    torch.manual_seed(0)
    dense = MobileBertForSequenceClassification(MobileBertConfig(vocab_size=variant.vocabulary, num_labels=LABELS))
    if variant.removed == 0:
        model: PreTrainedModel = dense.eval()
        return model
    kept = architecture(shape_of(dense), variant.removed)
    heads, ffn = (tuple(tuple(range(count)) for count in counts) for counts in (kept.heads, kept.ffn))
    return extract(dense, Selection(heads, ffn)).eval()


def architecture(shape: ModelShape, removed: float) -> Architecture:
    """Every block at the same share of its range, with this share of the encoder's parameters removed."""
    grid = make_grid(load_space("default"), shape)
    if removed == 1:
        return grid.architecture(np.zeros_like(grid.last))
    return uniform(grid, make_budget("sparsity", removed, 128, shape, grid))


def bert_large_bytes() -> int:
    """float32 weights of BERT-large with a classifier, counted on a model without memory."""
    with torch.device("meta"):
        return 4 * sum(int(p.numel()) for p in BertForSequenceClassification(LARGE).parameters())


def size_parts(shape: ModelShape, vocabulary: int, embedding_size: int) -> dict[str, int]:
    """Parameters by what can be done about them; they add up to the model's."""
    prunable = sum(
        count * each
        for counts, costs in ((shape.heads, shape.head_params), (shape.ffn, shape.ffn_params))
        for count, each in zip(counts, costs, strict=True)
    )
    words = vocabulary * embedding_size
    return {
        "heads and FFN neurons (prunable)": prunable,
        "bottlenecks, norms, output biases of the encoder (fixed)": shape.fixed_params,
        "word embeddings (fixed by the vocabulary)": words,
        "other embeddings, pooler, classifier (fixed)": shape.other_params - words,
    }


def make_files(variant: Variant, folder: Path, length: int) -> dict[str, Any]:
    """Write the FlatBuffers of a variant, and check the float32 one against torch."""
    model, stem = make_model(variant), _stem(variant, length)
    path = export_litert(model, INPUTS, folder / f"{stem}.float32.tflite", length=length)
    parity = check_logits(model, LiteRTModel(path), _parity_rows(variant.vocabulary, length), fix="stop here")
    for kind, bits in KINDS.items():
        if bits:
            quantize_litert(path, folder / f"{stem}.{kind}.tflite", bits=bits)
    return {
        "params": sum(p.numel() for p in model.parameters()),
        "parity": parity.max_abs_difference,
        "largest_logit": parity.max_abs_logit,
        "peak_memory_bytes": peak_memory_bytes(),
        "bytes": {kind: (folder / f"{stem}.{kind}.tflite").stat().st_size for kind in KINDS},
    }


def _stem(variant: Variant, length: int) -> str:
    return f"{100 * variant.removed:.0f}-{variant.vocabulary}-{length}"


def _parity_rows(vocabulary: int, length: int) -> Iterator[dict[str, torch.Tensor]]:
    """A row that fills the file and one that is half padding."""
    generator = torch.Generator().manual_seed(0)
    for real in (length, length // 2):
        mask = (torch.arange(length) < real).long()[None]
        ids = torch.randint(1, vocabulary, (1, length), generator=generator) * mask
        yield {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}


def time_files(files: Mapping[str, Path], tweets: Tweets, length: int, runs: int) -> dict[str, Spread]:
    """Milliseconds per tweet of each file on one thread, all files in turns."""
    models = {name: LiteRTModel(path, threads=1) for name, path in files.items()}
    schedule = spread(len(tweets.ids), runs)
    requests = {index: _request(tweets.ids[index], length) for index in schedule}
    smallest = min(int(name.rpartition("@")[2]) for name in files)
    for request in requests.values():  # trimmed tables have other ids; which row is read makes no difference in time
        request["input_ids"] %= smallest
    ordered = list(requests.values())
    calls = {name: model.logits for name, model in models.items()}
    samples = interleave(calls, ordered, range(len(ordered)), warmup=range(3))
    return {name: Spread(*np.percentile(values, [50, 10, 90])) for name, values in samples.milliseconds.items()}


def _request(ids: Sequence[int], length: int) -> dict[str, np.ndarray]:
    cut = np.array([ids[:length]])
    return {"input_ids": cut, "attention_mask": np.ones_like(cut), "token_type_ids": np.zeros_like(cut)}


def measure(variants: Sequence[Variant], tweets: Tweets, folder: Path, length: int, runs: int) -> list[dict[str, Any]]:
    """One row per file: size, ratio to BERT-large, speed."""
    ledger = Ledger(folder / "made.jsonl")
    made = {
        variant: ledger.get(_stem(variant, length), partial(make_files, variant, folder, length))
        for variant in variants
    }
    every = list(product(variants, KINDS))
    files = {
        f"{variant.name} {kind}@{variant.vocabulary}": folder / f"{_stem(variant, length)}.{kind}.tflite"
        for variant, kind in every
    }
    timed = time_files(files, tweets, length, runs)
    large = bert_large_bytes()
    return [
        file_row(variant, kind, made[variant], large, ms)
        for (variant, kind), ms in zip(every, timed.values(), strict=True)
    ]


def file_row(variant: Variant, kind: str, made: Mapping[str, Any], large: int, ms: Spread) -> dict[str, Any]:
    """What is known of one file. ms: median, 10 % and 90 % of the time of a tweet."""
    size = made["bytes"][kind]
    return {
        "model": variant.name,
        "kind": kind,
        "params": made["params"],
        "bytes": size,
        "times_smaller_than_bert_large": large / size,
        "within_20_percent_of_target": size <= ALLOWED * large / TARGET,
        "ms_per_tweet": {"median": ms.median, "p10": ms.low, "p90": ms.high},
        "tweets_per_second": 1000 / ms.median,
        "parity": made["parity"],
    }


def show(rows: Sequence[Mapping[str, Any]], parts: Mapping[str, int], large: int) -> str:
    """The tables."""
    body = [
        (
            row["model"],
            row["kind"],
            f"{row['params'] / 1e6:.2f}",
            f"{row['bytes'] / 1e6:.2f}",
            f"{row['times_smaller_than_bert_large']:.0f}x",
            "yes" if row["within_20_percent_of_target"] else "no",
            "{median:.1f} ({p10:.1f}–{p90:.1f})".format(**row["ms_per_tweet"]),
            f"{row['tweets_per_second']:.0f}",
        )
        for row in rows
    ]
    header = ("MobileBERT", "file", "params (M)", "MB", "smaller", "within 20 %", "ms/tweet (10–90 %)", "tweets/s")
    share = [
        (name, f"{count / 1e6:.2f}", f"{100 * count / sum(parts.values()):.0f} %") for name, count in parts.items()
    ]
    return (
        f"BERT-large float32: {large / 1e6:.0f} MB; target {large / TARGET / 1e6:.2f} MB, "
        f"within 20 %: {ALLOWED * large / TARGET / 1e6:.2f} MB\n\n{table(header, body)}\n\n"
        f"{table(('what the dense MobileBERT is made of', 'params (M)', 'share'), share)}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    given = os.environ.get("AEBERT_DATA")
    parser.add_argument("--data", type=Path, default=Path(given) if given else None, help="default: AEBERT_DATA")
    parser.add_argument("--length", type=int, default=64, help="tokens that a file takes")
    parser.add_argument("--removed", type=float, nargs="*", default=[0.5, 0.7], help="shares of the encoder")
    parser.add_argument("--runs", type=int, default=100, help="tweets timed")
    given_options = parser.parse_args(arguments)
    quiet_libraries()
    torch.set_num_threads(1)
    run(given_options.results, given_options.data, given_options.length, given_options.removed, given_options.runs)


def run(results: Path, data: Path | None, length: int, removed: Sequence[float], runs: int) -> None:
    """Make, measure, print, write."""
    tweets, full = read_tweets(data, length), MobileBertConfig().vocab_size
    shares = [0.0, *removed, 1.0]
    variants = [Variant(share, full) for share in shares]
    variants += [Variant(share, tweets.used, trimmed=True) for share in removed]
    rows = measure(variants, tweets, results / "quality" / "mobilebert_flatbuffer", length, runs)
    parts = size_parts(shape_of(make_model(variants[0])), full, MobileBertConfig().embedding_size)
    print(show(rows, parts, bert_large_bytes()))
    lengths = [len(ids) for ids in tweets.ids]
    values = {
        "weights": "random, from the published configurations: sizes and times only",
        "length": length,
        "threads": 1,
        "tweets": {
            "real": tweets.real,
            "timed": runs,
            "median_pieces": float(np.median(lengths)),
            "longer_than_the_file": float(np.mean(np.array(lengths) > length)),
            "vocabulary_of_training_tweets": tweets.used,
            "held_out_pieces_in_it": tweets.known,
        },
        "bert_large_float32_bytes": bert_large_bytes(),
        "parts": parts,
        "files": rows,
    }
    write_result(results, "mobilebert_flatbuffer", values)


if __name__ == "__main__":
    main(sys.argv[1:])

"""How texts are read by two vocabularies, as counts; a module of its own, since reports load no tokenizers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Read:
    """Of some rows; `whole` is by the whole vocabulary, `small` by the smaller one.

    name: of the rows.
    words: as the tokenizer (for NER, the data) tells them apart. broken: words with a piece that is not kept, which are
      read in smaller pieces.
    whole_tokens, small_tokens: of all rows, special tokens included, before anything is cut.
    whole_cut, small_cut: rows longer than `data.max_length`, which are cut; none where they are read in windows.
    whole_unknown, small_unknown: unknown tokens.
    """

    name: str
    rows: int
    words: int
    broken: int
    whole_tokens: int
    small_tokens: int
    whole_cut: int
    small_cut: int
    whole_unknown: int
    small_unknown: int

    @property
    def broken_share(self) -> float:
        """Share of the words that fall apart."""
        return self.broken / self.words if self.words else 0.0

    @property
    def growth(self) -> float:
        """By how much rows get longer on average, as a share."""
        return self.small_tokens / self.whole_tokens - 1 if self.whole_tokens else 0.0

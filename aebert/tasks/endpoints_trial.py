"""Made-up two-arm trials: how their arms are called and what they found."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aebert.tasks import endpoints_templates as text

T = TypeVar("T")


class Chance:
    """Draws from a seeded stream, the same on every platform and Python.

    Rests on `random.Random(str)` and `.random()` alone, whose sequence the standard library guarantees (that of
    `choice` or `shuffle`, and numpy's, may change between versions), and on integer arithmetic after that.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def below(self, stop: int) -> int:
        """An integer from 0 to `stop` - 1."""
        return int(self._random.random() * stop)

    def between(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def happens(self, percent: int) -> bool:
        """True in `percent` of 100 cases."""
        return self.below(100) < percent

    def pick(self, values: Sequence[T]) -> T:
        """One of `values`, all equally likely."""
        return values[self.below(len(values))]

    def weighted(self, weights: Mapping[T, int]) -> T:
        """One of the keys, as likely as its weight."""
        left = self.below(sum(weights.values()))
        for value, weight in weights.items():
            left -= weight
            if left < 0:
                return value
        raise ValueError("weights must be positive integers")


@dataclass(frozen=True)
class Arm:
    """How a text calls one arm. intro: when it is first named; at: with its preposition."""

    name: str
    intro: str
    at: str


@dataclass(frozen=True)
class Hazard:
    """A hazard ratio and its 95 % interval, in hundredths; `low < ratio < high`. p: the p value's words."""

    ratio: int
    low: int
    high: int
    p: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """A two-arm trial; pairs are (experimental, control).

    needs_intro: the arms' names alone don't say which is which.
    patients: counts. medians: tenths of months by endpoint, None = not reached. rates: tenths of a percent by
    endpoint. hazards: by endpoint. orr_p: words of the p value of the response rates.
    """

    arms: tuple[Arm, Arm]
    needs_intro: bool
    patients: tuple[int, int]
    medians: Mapping[str, tuple[int | None, int | None]]
    rates: Mapping[str, tuple[int, int]]
    hazards: Mapping[str, Hazard]
    orr_p: tuple[str, ...]


def draw_trial(chance: Chance, drugs: Sequence[str]) -> Trial:
    """A trial of drugs out of `drugs`."""
    return draw_numbers(chance, *draw_arms(chance, drugs))


def draw_numbers(chance: Chance, arms: tuple[Arm, Arm], needs_intro: bool) -> Trial:
    """A trial of the given arms whose numbers agree with each other.

    A hazard ratio below 1 goes with the longer median, an interval that leaves out 1 with p < 0.05, and complete
    responders are fewer than responders, who are fewer than patients with disease control.
    """
    hazards = {"OS": _hazard(chance), "PFS": _hazard(chance)}
    medians = _medians(chance, hazards)
    rates, orr_p = _rates(chance, medians["OS"])
    patients = chance.between(58, 480)
    return Trial(
        arms=arms,
        needs_intro=needs_intro,
        patients=(patients, max(40, patients + chance.between(-14, 14))),
        medians=_with_unreached(chance, medians),
        rates=rates,
        hazards=hazards,
        orr_p=orr_p,
    )


def draw_arms(chance: Chance, drugs: Sequence[str]) -> tuple[tuple[Arm, Arm], bool]:
    """The names of the experimental and the control arm, and whether they need an introduction."""
    style = chance.weighted({"role": 66, "placebo": 12, "addition": 8, "care": 8, "drugs": 4, "letters": 2})
    first = chance.below(len(drugs))
    drug, other = drugs[first], drugs[(first + chance.between(1, len(drugs) - 1)) % len(drugs)]
    if style == "role":
        noun = chance.pick(text.ROLE_NOUNS)
        new_word, old_word = chance.pick(text.ROLE_WORDS)
        return _arms(f"the {new_word} {noun}", f"the {old_word} {noun}", preposition="in"), False
    if style == "placebo":
        return _arms(drug, "placebo"), False
    if style == "addition":
        return _arms(f"{drug} plus {other}", f"{other} alone"), False
    if style == "care":
        return _arms(drug, chance.pick(text.CARES)), False
    if style == "drugs":
        new, old = (
            Arm(drug, f"{text.NEW_AGENT} {drug}", f"with {drug}"),
            Arm(other, f"{text.OLD_AGENT} {other}", f"with {other}"),
        )
        return (new, old), True
    letters = chance.pick(text.LETTERS)
    new_letter, old_letter = letters if chance.happens(50) else letters[::-1]
    new = Arm(new_letter, f"{new_letter} ( [experimental|{drug}] )", f"in {new_letter}")
    old = Arm(old_letter, f"{old_letter} ( [control|placebo|standard care] )", f"in {old_letter}")
    return (new, old), True


def draw_drugs(chance: Chance, count: int) -> list[str]:
    """`count` different made-up drug names."""
    names: dict[str, None] = {}
    while len(names) < count:
        parts = (text.DRUG_STARTS, text.DRUG_MIDDLES, text.DRUG_ENDS)
        names["".join(chance.pick(part) for part in parts).capitalize()] = None
    return list(names)


def p_words(chance: Chance, significant: bool) -> tuple[str, ...]:
    """A p value as words, `("0.03",)` or `("<", "0.001")`, below 0.05 if `significant`."""
    if not significant:
        return (f"0.{chance.between(6, 93):02d}",)
    if chance.happens(40):
        return ("<", chance.pick(("0.001", "0.001", "0.0001", "0.01")))
    return (f"0.{chance.between(1, 49):03d}",) if chance.happens(60) else (f"0.0{chance.between(1, 4)}",)


def _arms(new: str, old: str, preposition: str = "with") -> tuple[Arm, Arm]:
    return Arm(new, new, f"{preposition} {new}"), Arm(old, old, f"{preposition} {old}")


def _hazard(chance: Chance) -> Hazard:
    ratio = chance.between(45, 94) if chance.happens(80) else chance.between(96, 130)
    spread = chance.between(112, 150)  # upper bound / ratio, in hundredths
    low, high = ratio * 100 // spread, ratio * spread // 100
    return Hazard(ratio, low, high, p_words(chance, significant=high < 100 or low > 100))


def _medians(chance: Chance, hazards: Mapping[str, Hazard]) -> dict[str, tuple[int, int]]:
    control_os = chance.between(62, 268)
    control_pfs = control_os * chance.between(30, 62) // 100
    found = {}
    for endpoint, control in (("OS", control_os), ("PFS", control_pfs)):
        # the median of an exponential survival curve is inverse to its hazard
        found[endpoint] = (control * 100 // hazards[endpoint].ratio + chance.between(0, 1), control)
    found["DOR"] = (chance.between(42, 230), chance.between(31, 180))
    return found


def _with_unreached(chance: Chance, medians: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int | None, int | None]]:
    """The medians with some of the longer ones not reached."""
    found: dict[str, tuple[int | None, int | None]] = {}
    for endpoint, (new, old) in medians.items():
        unreached = chance.happens(8)
        found[endpoint] = (None if unreached and new > old else new, None if unreached and old >= new else old)
    return found


def _rates(chance: Chance, os_medians: tuple[int, int]) -> tuple[dict[str, tuple[int, int]], tuple[str, ...]]:
    """Rates in tenths of a percent, and the p value of the response rates."""
    old_orr = chance.between(120, 520)
    difference = chance.between(-70, 270)
    new_orr = old_orr + difference
    arms = (new_orr, old_orr)
    new_cr, old_cr = (orr * chance.between(6, 38) // 100 + 1 for orr in arms)
    new_dcr, old_dcr = (orr + (1000 - orr) * chance.between(28, 78) // 100 for orr in arms)
    # hyperbolic survival curve: half alive at the median; keeps to integers where an exponential could not
    new_alive, old_alive = (1000 * median // (median + 120) for median in os_medians)
    rates = {
        "ORR": arms,
        "CR": (new_cr, old_cr),
        "DCR": (new_dcr, old_dcr),
        "OS1Y": (new_alive, old_alive),
    }
    return rates, p_words(chance, significant=abs(difference) > 80)

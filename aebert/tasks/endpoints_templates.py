"""The phrases of `endpoints-synthetic`: sentence templates, endpoint names, arms and distractors.

A template is a line of words, punctuation apart. `[x|y|]` stands for one of its alternatives (not nested), `{slot}` for
what the generator puts in. The slots of a comparison: `{A}` and `{B}` are the arms in the order they are mentioned
(either may be the experimental one), `{inA}` the same with their preposition, `{a}` and `{b}` their values, `{au}` and
`{bu}` values with unit, `{E}` the endpoint, `{test}` what a test of the difference gave.
"""

from __future__ import annotations

# Two arms, one endpoint.
PAIRS = (
    # each value after its arm
    "{inA} , {E} was {au} , [whereas|while] {inB} the [corresponding value|result] was {bu} {test}",
    "{inA} {E} was {au} ; {inB} the [corresponding value|result] was {bu} {test}",
    "patients [assigned|allocated] to {A} had a result of {au} for {E} , those [assigned|allocated] to {B} one of {bu} "
    "{test}",
    "as for {E} , {A} led to a [value|result] of {au} and {B} to one of {bu} {test}",
    "{inA} , we [found|saw] that {E} was {au} , but {inB} we [found|saw] that it was {bu} {test}",
    "{inA} , {E} was [estimated|calculated] to be {au} , and {inB} it was [estimated|calculated] to be {bu} {test}",
    # in the order of the arms
    "{inA} and {inB} , {E} was {a} and {bu} , respectively {test}",
    "{A} was compared with {B} , and {E} was {a} versus {bu} {test}",
    # each value before its arm
    "{E} was {au} {inA} [and|versus|compared with] {bu} {inB} {test}",
)

# One arm, two endpoints (`{a}`, `{c}`), with or without its number of patients.
SINGLES = (
    "{inA} , {E} was {au} and {F} was {cu}",
    "{inA} ( n = {na} ) , {E} was {au} and {F} was {cu}",
    "{inA} ( n = {na} ) {E} and {F} were {au} and {cu} , respectively",
    "[among|for] the {na} patients [assigned|allocated] to {A} , {E} was {au} and {F} was {cu}",
    "{A} [was given|was assigned] to {na} patients , whose outcomes were as follows : {E} was {au} , {F} was {cu}",
    "{E} was {au} and {F} was {cu} [in|for] patients [assigned|allocated] to {A}",
)

# Two arms, two endpoints: `{a}` and `{c}` belong to the first arm, `{b}` and `{d}` to the second.
DOUBLE_PAIRS = (
    "{inA} , {E} and {F} were {a} and {cu} ; {inB} [they|the corresponding values] were {b} and {du}",
    "{inA} , {E} was {au} and {F} was {cu} ; {inB} [they|the corresponding values] were {b} and {du}",
)

# One hazard ratio with its interval and p value; `{H}` names the event or the endpoint.
HAZARDS = (
    "the [|stratified ]hazard ratio for {H} was {hr} ( {interval} ; {p} )",
    "for {H} , the [hazard ratio|HR] was {hr} ( {interval} ) , {p}",
    "{H} was compared {inA} and {inB} ( HR , {hr} ; {interval} ; {p} )",
)
DOUBLE_HAZARDS = (
    "hazard ratios for {H} and {G} were {hr} ( {interval} ) and {hr2} ( {interval2} ) , respectively",
    "the hazard ratio for {H} was {hr} ( {interval} ) , and for {G} it was {hr2} ( {interval2} ; {p2} )",
)
INTERVALS = ("95 % CI , {low} to {high}", "95 % CI , {low} - {high}")

# What follows a pair, as `{test}`.
HAZARD_TESTS = ("( HR , {hr} ; {interval} ; {p} )", "( HR , {hr} ; {interval} )")
P_TESTS = ("( {p} )",)

# How the arms are introduced, with and without their numbers of patients; `{introA}` says which arm it is.
ALLOCATIONS = (
    "{total} patients with {cancer} received {introA} ( n = {na} ) or {introB} ( n = {nb} )",
    "patients with {cancer} were randomized to {introA} ( n = {na} ) or {introB} ( n = {nb} )",
    "of {total} patients [|with {cancer} ], {na} were [assigned|randomized] to {introA} and {nb} to {introB}",
    "{introA} and {introB} [enrolled|included] {na} and {nb} patients , respectively",
)
COMPARISONS = (
    "this [phase III|randomized] trial compared {introA} with {introB} in {cancer}",
    "we compared {introA} and {introB} in [{total} |]patients with {cancer}",
)

# What makes the numbers of a comparison those of somebody else, and therefore not entities.
ELSEWHERE = (
    "in the subgroup with {marker} ,",
    "in patients with {marker} ,",
    "in [an earlier|a previous] trial ,",
)
MARKERS = (
    "brain metastases",
    "liver metastases",
    "a KRAS mutation",
    "low PD-L1 expression",
    "poor performance",
    "prior surgery",
)

# What may stand before a comparison whose numbers are entities.
HERE = ("", "", "", "in all patients ,", "overall ,")

# Sentences without an entity.
DISTRACTORS = (
    "median follow-up was {months} months [( range , {fewer} - {more} )|]",
    "median age was {age} years [( range , {younger} - {older} )|] and {percent} % were [women|men]",
    "grade 3 [or 4|or higher] {toxicity} occurred in {percent} % {inA} and {percent2} % {inB}",
    "{toxicity} of any grade was [reported|seen] in {percent} % and {percent2} % of patients {inA} and {inB} , "
    "respectively",
    "treatment was given at {dose} mg every {weeks} weeks for up to {cycles} cycles",
    "from {year} to {later} , {total} patients were screened and {count} were excluded",
    "{count} patients {inA} [stopped|discontinued] treatment because of {toxicity} ( {percent} % ; {any_p} )",
    "{E} was {months} months {inA} and {fewer} months {inB}",
)
OTHER_MEDIANS = ("median treatment duration", "median time to response", "median time to deterioration")

MEDIANS = {
    "OS": ("median overall survival", "median OS"),
    "PFS": ("median progression-free survival", "median PFS"),
    "DOR": ("median duration of response", "median response duration", "median DOR"),
}
RATES = {
    "ORR": ("the objective response rate", "the overall response rate", "the ORR"),
    "CR": ("the complete response rate", "the CR rate", "the proportion with a complete response"),
    "DCR": ("the disease control rate", "the DCR"),
    "OS1Y": ("the 1-year overall survival rate", "the 1-year OS rate", "survival at 12 months"),
}
EVENTS = {
    "OS": ("overall survival", "OS", "death"),
    "PFS": ("progression-free survival", "PFS", "progression"),
}

CANCERS = (
    "advanced melanoma",
    "metastatic colorectal cancer",
    "metastatic breast cancer",
    "advanced gastric cancer",
    "recurrent ovarian cancer",
    "multiple myeloma",
    "small-cell lung cancer",
    "renal-cell carcinoma",
    "pancreatic cancer",
    "glioblastoma",
)
TOXICITIES = ("neutropenia", "anemia", "fatigue", "diarrhea", "hypertension", "rash", "nausea", "neuropathy")

# Names of arms by role: (experimental, control).
ROLE_WORDS = (
    ("experimental", "control"),
    ("investigational", "standard"),
    ("experimental", "standard"),
    ("investigational", "control"),
)
ROLE_NOUNS = ("arm", "group")
LETTERS = (("arm A", "arm B"), ("group 1", "group 2"), ("cohort I", "cohort II"))
CARES = ("best supportive care", "observation", "standard chemotherapy", "standard radiotherapy")
NEW_AGENT = "[new|experimental|investigational]"
OLD_AGENT = "[standard|established|conventional]"

# Parts of made-up drug names; a likeness to a real name is chance.
DRUG_STARTS = tuple(
    "ba be bo da de do fa fe fi ga go ka ke ki la le lo ma me mo na ne ni pa pe po ra re ri sa se so ta te "
    "to va ve vo za ze zo".split()
)
DRUG_MIDDLES = tuple("bru cla dri fen glo kri lan mer nov pel qui ros sten tru vel xan zor".split())
DRUG_ENDS = ("mab", "nib", "taxel", "platin", "rubicin", "stat")

"""The errors a user can cause. Their message is one line: rule, value, fix."""

from __future__ import annotations


def printable(text: str) -> str:
    """A text as a terminal may show it: escapes in the place of characters that would move, colour or reorder it.

    Files and databases of others may hold such characters anywhere. Line breaks and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode() for one in text)


class AebertError(Exception):
    """Root of all errors that `aebert` raises on purpose; the command line prints it and exits with 2."""

    def __str__(self) -> str:
        """The message, printable whatever it quotes."""
        return printable(super().__str__())


class ConfigError(AebertError, ValueError):
    """A key or value of a config, search space or command line breaks a rule."""


class DataError(AebertError, ValueError):
    """A data file is missing, empty or not of the stated format; names file and line."""


class ModelError(AebertError, ValueError):
    """A checkpoint is missing, damaged, of an unknown family, or does not fit the task."""


class BudgetError(AebertError, ValueError):
    """No architecture of the search space meets the budget."""


class StudyError(AebertError, RuntimeError):
    """A study database is locked, foreign, or was made with another config."""


class NoStudyError(StudyError):
    """A database does not hold the study: it has no trials yet, or is another one's."""


class ExportError(AebertError, RuntimeError):
    """An exported graph cannot be made or differs from the model it was made from."""


class BundleError(AebertError, ValueError):
    """A bundle is missing, damaged, of a newer format, or can't run here."""


class HostError(AebertError, RuntimeError):
    """A host can't be reached, isn't trusted, lacks something, or was lost; what was copied there is removed."""


class OutputError(AebertError, OSError):
    """A file can't be written: the disk is full or read-only."""

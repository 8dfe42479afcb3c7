"""Every exception that cemrad raises on purpose, in one tree.

::

    CemradError
    |-- StudyError (ValueError)            a setting or the command line is wrong: exit code 2
    |   |-- UnknownPartError (KeyError)    no part of that name on a shelf
    |   `-- EngineError (ArithmeticError)  the two radiomics engines give different numbers
    |-- ClusterError (ConnectionError)     the cluster that was to do the work is gone: exit code 1
    |-- CohortError (ValueError)           a cohort cannot be read as a whole: exit code 2
    |-- CaseError (ValueError)             one case cannot be used: its row says why, the run goes on
    |   |-- ImageError                     its pixels
    |   `-- MaskError                      its mask
    |-- ArchiveError (ValueError)          a ZIP or gzip file that must not be unpacked
    |-- WeightsError (FileNotFoundError)   network weights are missing or not what was named
    |-- TableError (ValueError)            a feature table or label table is malformed
    |-- LeakageError (ValueError)          a fitted step would meet a patient it has already seen
    |-- EvaluationError (ValueError)       an endpoint cannot be estimated from these cases
    `-- BundleError (ValueError)           a model bundle is damaged or does not fit the table

Every message says what is wrong, where, and what to do. A :class:`CaseError` also carries a
stable ``code`` such as ``mask.empty`` that ends in the failures table.
"""

from __future__ import annotations


class CemradError(Exception):
    """Base of everything that cemrad raises on purpose."""

    def __str__(self) -> str:  # KeyError would print the repr of its message
        return str(self.args[0]) if self.args else ""


class StudyError(CemradError, ValueError):
    """A study file, a setting or a command line cannot be used."""


class UnknownPartError(StudyError, KeyError):
    """A shelf holds no part of that name."""


class EngineError(StudyError, ArithmeticError):
    """The native engine and pyradiomics disagree: the run stops, as no number of it is to be trusted."""


class ClusterError(CemradError, ConnectionError):
    """The cluster that was to do the work is gone, or has no workers."""


class CohortError(CemradError, ValueError):
    """A cohort cannot be read at all."""


class CaseError(CemradError, ValueError):
    """One case cannot be used.

    Parameters
    ----------
    code : str
        Stable identifier, ``subject.problem``, for example ``mask.empty``.
    reason : str
        What is wrong and what to do, for a reader who has only this line.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code

    def __reduce__(self) -> tuple[type[CaseError], tuple[str, str]]:
        # Two constructor arguments, one of them in args: worker processes need both back.
        return type(self), (self.code, str(self))


class ImageError(CaseError):
    """The pixels of a case cannot be read or used."""


class MaskError(CaseError):
    """The mask of a case cannot be read or used."""


class ArchiveError(CemradError, ValueError):
    """An archive that would be written outside of its place, or unpacks to too much."""


class WeightsError(CemradError, FileNotFoundError):
    """Network weights are missing, or are not those that were named."""


class TableError(CemradError, ValueError):
    """A feature table or a label table is malformed."""


class LeakageError(CemradError, ValueError):
    """A fitted step would be evaluated on a patient whom it has seen."""


class EvaluationError(CemradError, ValueError):
    """An endpoint cannot be estimated from the cases at hand."""


class BundleError(CemradError, ValueError):
    """A model bundle is damaged, or does not fit the table it is applied to."""

"""Templates: one strict, escaping environment for everything that becomes HTML."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from . import numbers, words
from .feature_meaning import meanings

# Control characters, and those that reorder or hide text: an id must look like what it is.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Text with control and direction characters spelt out.

    Examples
    --------
    >>> visible("case\u202e001")
    'case\\u202e001'
    """
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def fill(template: str, **values: Any) -> Markup:
    """A template of this package, filled.

    Parameters
    ----------
    template : str
        File name, for example ``cohort.html.j2``.
    **values
        What it names; a missing one is an error. Text is escaped, whatever it holds.
    """
    return Markup(_environment().get_template(template).render(values))


def read_part(name: str) -> str:
    """The text of a file of this package, such as ``page.css``."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(read_part),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters |= {
        "fixed": numbers.fixed,
        "compact": numbers.compact,
        "exact": numbers.exact,
        "percent": numbers.percent,
        "p_value": numbers.p_value,
        "counted": numbers.counted,
        "meanings": meanings,
        "feature_words": words.feature_words,
        "picture_words": words.picture_words,
        "arm_title": words.arm_title,
        "metric_title": words.metric_title,
    }
    environment.globals["interval"] = numbers.interval
    return environment


def _finalize(value: Any) -> Any:
    if value is None or isinstance(value, float):
        # A bare float prints too many digits, or "nan"; None prints "None".
        raise TypeError(f"a template printed {value!r}; format it or say why it is missing")
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value

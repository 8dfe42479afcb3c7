"""Numbers as text: how a report prints them, and their exact value for a machine."""

from __future__ import annotations

import math

MINUS = "\u2212"


def fixed(value: float, digits: int = 2, *, signed: bool = False) -> str:
    """A finite number with that many decimals and a true minus sign.

    Parameters
    ----------
    value : float
        Finite; what could not be estimated must be said in words instead.
    digits : int
        Decimals.
    signed : bool
        Print a plus sign too, as for a difference.

    Raises
    ------
    ValueError
        For NaN and infinities.

    Examples
    --------
    >>> fixed(0.8349), fixed(-0.04, signed=True), fixed(-0.001)
    ('0.83', '\u22120.04', '0.00')
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} has no place in a report; say why it is missing")
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def interval(low: float, high: float, digits: int = 2, *, signed: bool = False) -> str:
    """An interval in square brackets; words where it is not known.

    Examples
    --------
    >>> interval(0.7, 0.9)
    '[0.70, 0.90]'
    >>> interval(float("nan"), float("nan"))
    '[no interval]'
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return "[no interval]"
    return f"[{fixed(low, digits, signed=signed)}, {fixed(high, digits, signed=signed)}]"


def compact(value: object) -> str:
    """A value of any kind in few characters: numbers with four significant digits, NaN as ``missing``.

    Examples
    --------
    >>> compact(1234567.0), compact(0.012345), compact(7), compact(None), compact("premenopausal")
    ('1.235e+06', '0.01235', '7', 'missing', 'premenopausal')
    """
    if value is None or value == "":
        return "missing"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if not math.isfinite(value):
        return "missing"
    return f"{value:.4g}".replace("-", MINUS) if not float(value).is_integer() or abs(value) >= 1e6 else f"{value:.0f}"


def exact(value: float) -> str:
    """The shortest text that reads back as the same float, for ``data-value`` attributes.

    Examples
    --------
    >>> exact(0.1)
    '0.1'
    """
    return repr(float(value))


def percent(share: float) -> str:
    """A share between 0 and 1 in per cent.

    Examples
    --------
    >>> percent(0.126), percent(0.0004)
    ('13 %', '< 1 %')
    """
    return "< 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def p_value(p: float) -> str:
    """A p-value with three decimals; NaN is no test.

    Examples
    --------
    >>> p_value(0.0421), p_value(0.00002), p_value(float("nan"))
    ('0.042', '< 0.001', 'no test')
    """
    if math.isnan(p):
        return "no test"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def counted(n: int, one: str, many: str = "") -> str:
    """A count with its noun.

    Examples
    --------
    >>> counted(1, "case"), counted(2002, "case"), counted(3, "breast", "breasts")
    ('1 case', '2,002 cases', '3 breasts')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"

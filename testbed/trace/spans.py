"""Times as words.

What may live here: that.
"""

_UNITS = (("s", 10**12), ("ms", 10**9), ("µs", 10**6), ("ns", 10**3), ("ps", 1))


def time_text(t_ps: int) -> str:
    """A time as exactly as it is known, in the largest unit of which it is at least one: 770.026 µs."""
    for unit, size in _UNITS:
        if abs(t_ps) >= size:
            whole, rest = divmod(abs(t_ps), size)
            fraction = f".{rest:0{len(str(size)) - 1}}".rstrip("0").rstrip(".") if rest else ""
            return f"{'-' if t_ps < 0 else ''}{whole:,}{fraction} {unit}"
    return "0 s"

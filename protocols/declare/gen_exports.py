"""Writes protocols/wire/__init__.py, so that a new message is offered there without being listed by hand."""

import re

TEMPLATE = '''"""Bytes: every message, the frame around it, its authentication, the window against replays.

GENERATED from protocols/declare by `python -m protocols.declare`: do not edit.

    frame = seal(m.PROTOCOL, m.MESSAGE, source, destination, incarnation, sequence, m.pack(), key)

    header = parse(frame)                               # raises WireError
    verify(frame, key)                                  # before anything in it is believed
    window.accept(header.incarnation, header.sequence)
    message = decode(header, frame[HEADER_BYTES:])      # raises WireError
"""

'''

BY_HAND = {
    "error": ("WireError",),
    "frame": (
        "HEADER_BYTES",
        "MAX_BODY",
        "MAX_FRAME",
        "PORT",
        "VERSION",
        "Header",
        "decode",
        "parse",
        "seal",
        "verify",
    ),
    "keys": ("KEY_BYTES", "derive_key"),
    "replay": ("WINDOW", "ReplayWindow"),
}


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def exports(codec: str) -> str:
    """The text of protocols/wire/__init__.py for the text of the codec."""
    public = re.findall(r"^(?:class|type) ([A-Z]\w+)|^([A-Z_]+)\b(?=[:=  ])", codec, re.MULTILINE)
    modules = {
        "codec": tuple({klass or constant for klass, constant in public if klass or constant[0] != "_"})
    }
    lines = []
    for module, names in (modules | BY_HAND).items():
        ordered = sorted(names, key=_as_ruff_sorts)
        line = f"from protocols.wire.{module} import {', '.join(ordered)}"
        if len(line) <= 110 and len(names) < 8:
            lines.append(line)
        else:
            lines += [f"from protocols.wire.{module} import (", *(f"    {name}," for name in ordered), ")"]
    everything = sorted((n for names in (modules | BY_HAND).values() for n in names), key=_as_ruff_sorts)
    lines += ["", "__all__ = [", *(f'    "{name}",' for name in everything), "]"]
    return TEMPLATE + "\n".join(lines) + "\n"

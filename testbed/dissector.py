"""The Wireshark dissector, as Lua text generated from the message declarations."""

from protocols.declare import FAMILIES, gen_lua


def lua() -> str:
    """The dissector of everything that travels over UDP.

    It claims UDP port 57721, and on any other port each payload that begins with a Bellwire header. The
    Protocol column shows the plain name of the protocol (ECHO, REL, MHP, EGP, QNP, QTP, RGP; of the message
    carried, when REL carries a whole one), and `Bellwire` where the header cannot be read or the protocol
    is unknown. Filters are `bellwire.FIELD` for the header and `bellwire.PROTOCOL.MESSAGE.FIELD` for
    messages, in snake case; `bellwire.ebit` and `bellwire.pair` follow entangled pairs (docs/traces.md).

    Load it with `tshark -X lua_script:FILE` or `wireshark -X lua_script:FILE`, or put it into the personal
    Lua plugin folder. Root gets the warning that running as root could be dangerous, on stderr; the script
    is loaded all the same, either way (tshark 4.0).
    """
    return gen_lua.lua(tuple(family for family in FAMILIES if family.on_udp))

"""Random generators keyed by (seed, purpose, entity): the only source of randomness in the testbed.

Two generators with different keys are independent, so a draw added for one purpose or entity moves nothing
elsewhere.
"""

from hashlib import blake2b

from numpy.random import Generator, Philox


def keyed_generator(seed: int, purpose: str, *entity: int | str) -> Generator:
    """The generator of one purpose and one entity; equal arguments give equal streams on every machine.

    Philox4x64 (Salmon et al. 2011) is counter based: any 128-bit key is as good as any other, so the key may
    be a hash. Raises TypeError for an entity that is neither int nor str, since its text might differ from
    run to run.
    """
    words = [str(int(seed)), purpose]
    for part in entity:
        if isinstance(part, str):
            words.append("s" + part)
        elif isinstance(part, int):
            words.append("i" + str(int(part)))
        else:
            raise TypeError(f"entity of a keyed generator must be int or str, not {type(part).__name__}")
    # Every word goes in with its length: ("ab", "c") and ("a", "bc") are different keys.
    digest = blake2b(
        b"".join(len(w.encode()).to_bytes(4) + w.encode() for w in words), digest_size=16
    ).digest()
    return Generator(Philox(key=int.from_bytes(digest)))

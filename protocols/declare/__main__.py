"""`python -m protocols.declare` writes what is generated; with `--check` it writes nothing and exits 1 on a
difference."""

import argparse
import sys
from pathlib import Path

from protocols.declare import FAMILIES
from protocols.declare.gen_codec import codec
from protocols.declare.gen_docs import docs
from protocols.declare.gen_exports import exports
from protocols.declare.gen_states import page

ROOT = Path(__file__).resolve().parents[2]


def generated() -> dict[Path, str]:
    """Every generated file of the repository with the text it must have."""
    return {
        ROOT / "protocols" / "wire" / "codec.py": codec(FAMILIES),
        ROOT / "protocols" / "wire" / "__init__.py": exports(codec(FAMILIES)),
        ROOT / "docs" / "wire.md": docs(FAMILIES),
        ROOT / "docs" / "sessions.md": page(ROOT / "docs" / "sessions.md"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m protocols.declare", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 if a file differs")
    check = parser.parse_args().check
    stale = 0
    for path, text in generated().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if check:
            print(
                f"{path.relative_to(ROOT)}: differs from the declarations; run `python -m protocols.declare`"
            )
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: written")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""What a node elsewhere leaves on its machine for its next life there: a controller's journal, and whose it is.

What may live here: the folder beside the node's ticket, and which life wrote in it last.  A run of another time, or of
another place, has a folder of its own; a life that has been lived on another machine leaves a gap, which is found here.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any


class Estate:
    """One node's, in one run: ``NODE.jsonl``, its journal, and ``NODE.life``, the number of the life that has it."""

    def __init__(self, folder: Path, node: str) -> None:
        """``folder``: of the run; it is made when there is something to keep."""
        self.folder = folder
        self._journal = folder / f"{node}.jsonl"
        self._life = folder / f"{node}.life"

    @property
    def last_life(self) -> int:
        """The last that began here; 0: none has, or what it left is gone."""
        try:
            life = int(self._life.read_text())
        except (OSError, ValueError):
            return 0
        return life if self._journal.exists() else 0

    def begin(self, config: dict[str, Any]) -> dict[str, Any]:
        """A life begins here; what its configuration is to be, so that it finds its journal if it keeps one.

        A journal that ends before the last life did is put aside: it would be taken for all that there is.  Where
        nothing can be written the node says so itself, whenever it would have to write.
        """
        if config["control"] is None:
            return config | {"journals": ""}
        with suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            if config["journal_lost"] and self._journal.exists():
                self._journal.replace(self.folder / f"{self._journal.stem}.before-{config['incarnation']}.jsonl")
            self._journal.touch()
            self._life.write_text(f"{config['incarnation']}\n")
        return config | {"journals": str(self.folder)}


__all__ = ["Estate"]

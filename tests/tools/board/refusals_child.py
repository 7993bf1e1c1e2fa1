"""Run on the board: the sentence with which one file is refused on a core, or an empty line."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.tools.board.refusals import opened, sentence

print(sentence(lambda: opened(Path(sys.argv[1]), int(sys.argv[2]))))

"""Dead letters: what was given up and why, kept until it is in step or a person has acted."""

from workers.letters.filters import Filter
from workers.letters.letter import Failure, Letter
from workers.letters.store import Letters

__all__ = ["Failure", "Filter", "Letter", "Letters"]

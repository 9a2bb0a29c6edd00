"""Guards: checks that allow, edit, block or ask. Pure; policy comes from configuration."""

from .mask import Masker, masker
from .patterns import GROUPS, PATTERNS, Pattern

__all__ = ["GROUPS", "PATTERNS", "Masker", "Pattern", "masker"]

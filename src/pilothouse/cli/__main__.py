"""``python -m pilothouse.cli``."""

from . import main

main()

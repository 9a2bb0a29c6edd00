"""The command line: thin commands over the HTTP API, quick to start, made for people and for agents.

Nothing heavy is imported here or by any command that only asks the server: standard library and click.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code."""
    from .root import run  # here, so that importing the package costs nothing

    raise SystemExit(run(sys.argv[1:]))

"""Which store a setting names."""

from __future__ import annotations

from pathlib import Path


def embedded_folder(url: str, data: Path) -> Path | None:
    """The folder of the embedded store in a data folder; None where ``--store`` names a server."""
    return data / "store" / "chdb" if url in ("", "chdb", "chdb:") else None

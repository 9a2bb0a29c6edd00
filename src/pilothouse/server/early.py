"""What a start does before it loads the rest of the server: settings, the folder's lock, the storage process on its way.

The storage process takes a second to come up, and so does loading the server: side by side they take one.
"""

from __future__ import annotations

from pathlib import Path

from pilothouse.store.chdb_engine import ChdbEngine
from pilothouse.store.locate import embedded_folder

from .config import read_config
from .runtime import FolderLock


class Early:
    """The first things of a start. Whoever does not go on with them MUST :meth:`release` them."""

    def __init__(self, data: Path, *, store: str = "", config: Path | None = None) -> None:
        """Read, lock, start.

        Raises:
            BadRequest: the settings are wrong, or another server has the folder.
        """
        self.config = read_config(config)
        self.data = data.expanduser().resolve()
        self._lock = FolderLock(self.data)
        folder = embedded_folder(store, self.data)
        self.engine: ChdbEngine | None = None
        """The engine of the embedded store; None where the store is elsewhere."""
        if folder is not None:
            memory_bytes = self.config.store_memory_mb * 1_000_000
            self.engine = ChdbEngine(folder, owner=True, memory_bytes=memory_bytes)

    def release(self) -> None:
        """Let go of the folder, the storage process first."""
        if self.engine is not None:
            self.engine.close()
        self._lock.release()

"""How far the ingest worker has stored the journals, saved so that a crash leaves the old or the new one."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pilothouse.records import Broken


class Spot(NamedTuple):
    """A place in one receiver's journal: everything before it is consumed."""

    segment: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A place in every receiver's journal. A receiver that is not named has not been read at all."""

    spots: Mapping[str, Spot] = field(default_factory=dict[str, Spot])

    def moved(self, receiver: str, spot: Spot) -> Checkpoint:
        """This one, further on in one receiver's journal."""
        return Checkpoint(spots={**self.spots, receiver: spot})

    def before(self, other: Checkpoint) -> Checkpoint:
        """Of each receiver the earlier of the two places; one that either does not name has not been read."""
        shared = self.spots.keys() & other.spots.keys()
        return Checkpoint(spots={name: min(self.spots[name], other.spots[name]) for name in shared})

    @staticmethod
    def load(path: Path) -> Checkpoint:
        """The saved checkpoint, or the very beginning where none was saved."""
        try:
            text = path.read_text()
        except FileNotFoundError:
            return Checkpoint()
        try:
            return Checkpoint.from_json(text)
        except (ValueError, TypeError, AttributeError) as error:
            raise Broken(
                f"the checkpoint {path} is unreadable",
                fix=f"remove {path}: the journal is then stored again from its oldest segment, each span still once",
            ) from error

    def save(self, path: Path) -> None:
        """Write it durably; after a crash the file is the old checkpoint or this one, never a part."""
        temporary = path.with_name(f".{path.name}.new")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "w") as file:
            file.write(self.as_json())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)

    def as_json(self) -> str:
        """One line, with the same bytes for equal checkpoints."""
        return json.dumps({name: list(spot) for name, spot in sorted(self.spots.items())}, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Checkpoint:
        """The inverse of :meth:`as_json`. Raises ValueError or TypeError where it is not one."""
        spots = {name: Spot(int(segment), int(offset)) for name, (segment, offset) in json.loads(text).items()}
        return Checkpoint(spots=spots)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems can not sync a directory at all; a disk that fails to is another matter.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)

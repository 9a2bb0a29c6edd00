"""Vendored files are those of their packages, licensed and listed."""

from __future__ import annotations

import hashlib
import re

from pilothouse.web.static_files import FOLDER

VENDOR = FOLDER / "vendor"


def test_every_vendored_file_is_listed_with_its_digest() -> None:
    """Name, version, licence and SHA-256 stand in the README beside it."""
    rows = re.findall(
        r"^\| (\S+) \| (\S+) \| ([\d.]+) \| .*\((\S+)\) \| ([0-9a-f]{64}) \|$",
        (VENDOR / "README.md").read_text(),
        re.MULTILINE,
    )
    listed = {name: (licence, digest) for name, _, _, licence, digest in rows}
    present = {path.name for path in VENDOR.iterdir() if path.suffix in (".js", ".css")}
    assert set(listed) == present
    for name, (licence, digest) in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
        assert (VENDOR / licence).read_text().strip()

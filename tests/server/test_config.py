"""The configuration file: defaults without one, every mistake named."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilothouse.records import BadRequest
from pilothouse.server.config import Config, read_config


def test_no_file_gives_the_defaults() -> None:
    assert read_config(None) == Config()
    assert read_config(None).mask.groups == ("secrets",)


def test_everything_can_be_set(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, """
        [mask]
        groups = ["secrets", "personal"]
        rules = { order = "ORD-[0-9]{6}" }
        [mask.shop]
        groups = []
        [limits]
        store_memory_mb = 2000
        journal_keep_mb = 0
        [server]
        allowed_hosts = ["pilot.example"]
        [[prices]]
        provider = "openai"
        model = "my-model"
        from = 2026-01-01
        input = "1.5"
        output = "6"
        [[forward]]
        name = "lake"
        url = "https://collector.example:4318"
        headers = { api-key = "env:LAKE_KEY" }
    """))  # fmt: skip
    assert config.mask.rules == {"order": "ORD-[0-9]{6}"}
    assert config.mask_by_project["shop"].groups == ()
    assert (config.store_memory_mb, config.journal_keep_mb) == (2000, 0)
    assert config.prices[0]["model"] == "my-model"
    assert (config.forward[0].name, config.forward[0].signals) == ("lake", ("traces", "logs", "metrics"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[masks]", "masks"),
        ("[limits]\nbody_mb = '16'", "16"),
        ("[limits]\nbody = 16", "body"),
        ("[mask]\ngroups = 'secrets'", "secrets"),
        ("[mask.rules]\norder = 5", "5"),
        ("[server]\nport = 1", "port"),
        ("prices = 3", "3"),
        ("[[forward]]\nname = 'a'\nurl = 'collector'", "collector"),
        ("forward = 3", "3"),
        ("not toml", "no TOML"),
    ],
)
def test_every_mistake_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read_config(written(tmp_path, text))
    assert named in f"{raised.value.message} {raised.value.got}"


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="not there"):
        read_config(tmp_path / "none.toml")


def written(folder: Path, text: str) -> Path:
    path = folder / "pilothouse.toml"
    path.write_text("\n".join(line.strip() for line in text.splitlines()))
    return path

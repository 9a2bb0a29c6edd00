"""The section ``gateway``: what it takes, and that each mistake is named with its place, without showing a key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pilothouse.gateway import read_gateway
from pilothouse.records import BadRequest, NotFound

GOOD: dict[str, Any] = {"wire": "openai", "url": "https://api.openai.com/v1/", "key": "env:KEY"}
ENVIRONMENT = {"KEY": "sk-secret-value"}


def section(**more: Any) -> dict[str, Any]:
    return {"upstreams": {"one": {**GOOD, **more}}}


def test_keys_come_from_the_environment_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-from-file\n")
    config = read_gateway(section(key="env:KEY"), ENVIRONMENT)
    assert config.upstreams["one"].keys[0].reveal() == "sk-secret-value"
    assert config.upstreams["one"].urls == ("https://api.openai.com/v1",)
    assert "sk-secret" not in repr(config)
    by_file = {"upstreams": {"one": {"wire": "openai", "url": "http://localhost:1", "keys": [f"file:{tmp_path}/key"]}}}
    assert read_gateway(by_file, {}).upstreams["one"].keys[0].reveal() == "sk-from-file"


def test_an_empty_section_serves_nothing_and_says_what_to_do() -> None:
    with pytest.raises(NotFound, match="no upstream for openai") as raised:
        read_gateway({}, {}).target("openai", "gpt-5")
    assert "pilothouse.yaml" in str(raised.value.fix)


def test_the_first_route_that_fits_counts() -> None:
    two = {"wire": "openai", "url": "http://localhost:8000/v1"}
    routes = [
        {"model": "gpt-5-mini", "upstream": "local", "send_as": "qwen"},
        {"model": "gpt-*", "upstream": "one"},
    ]
    config = read_gateway({"upstreams": {"one": GOOD, "local": two}, "routes": routes}, ENVIRONMENT)
    small = config.target("openai", "gpt-5-mini")
    assert (small.upstream.name, small.send_as) == ("local", "qwen")
    assert config.target("openai", "gpt-5").upstream.name == "one"
    assert config.target("openai", "").upstream.name == "one", "the list of models"
    with pytest.raises(NotFound, match="no route"):
        config.target("openai", "o4-mini")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"upstream": {}}, "no such setting in gateway"),
        ({"upstreams": []}, "gateway.upstreams holds names and values"),
        ({"upstreams": {"Big One": GOOD}}, "lower-case letters"),
        (section(wire="gemini"), "gateway.upstreams.one.wire"),
        (section(url="ftp://x"), "no address of an API"),
        (section(url="https://user:pw@x/v1"), "no address of an API"),
        (section(url="https://x:99999/v1"), "no such port"),
        (section(url=["x"]), "gateway.upstreams.one.url is a text"),
        (section(urls=["http://x"]), "both url and urls"),
        (section(key="env:MISSING"), "MISSING is not set"),
        (section(key="file:/no/such/file"), "not readable"),
        (section(auth="basic"), "the header that carries the key"),
        (section(idle_s=0), "a number of seconds above 0"),
        (section(idle_s=True), "a number of seconds above 0"),
        (section(calls_max=1.5), "a whole number of calls"),
        (section(headers={"Host": "x"}), "writes this header itself"),
        (section(headers={"x": "a\r\nb: c"}), "no header"),
        (section(timeout=5), "no such setting in gateway.upstreams.one"),
        ({**section(), "routes": [{"model": "x", "upstream": "two"}]}, "names an upstream that is not there"),
        ({**section(), "routes": [{"upstream": "one"}]}, "has no model"),
        ({**section(), "routes": {}}, "gateway.routes is a list"),
    ],
)
def test_a_mistake_is_named_with_its_place(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        read_gateway(settings, ENVIRONMENT)


def test_a_key_written_into_the_file_is_refused_and_not_repeated() -> None:
    with pytest.raises(BadRequest, match="named, not written down") as raised:
        read_gateway(section(key="sk-oops-a-real-key"), ENVIRONMENT)
    assert "oops" not in repr(raised.value.as_dict())

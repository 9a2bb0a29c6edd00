"""Pages stay light: what comes over the wire on a first visit, and how many elements a page starts with."""

from __future__ import annotations

import random
import re

import pytest
from starlette.testclient import TestClient

from pilothouse.web.static_files import files

from .conftest import ADDRESSES, HUGE, RESEARCH, SampleProvider, client_of
from .markup import Markup
from .sample import NOW_NS, Content, Scene, say
from .sample_reader import SampleReader

COLD_MAX = 120_000
ANSWER_MAX = 1_000_000
ELEMENTS_MAX = 1_500

WORST = (*ADDRESSES, "/traces?limit=50", "/sql?query=SELECT+1")


def wire(client: TestClient, address: str) -> int:
    """Bytes of one answer as sent."""
    with client.stream("GET", address) as answer:
        assert answer.status_code == 200, address
        return sum(len(chunk) for chunk in answer.iter_raw())


def assets(html: str) -> set[str]:
    """What a browser loads with the page: styles, scripts, icons, and what the scripts import."""
    found = {e.split("#")[0] for e in re.findall(r'(?:href|src)="(/static/[^"]+)"', html)}
    wanted = set(found)
    while wanted:
        name = wanted.pop().removeprefix("/static/").split("?")[0]
        for imported in re.findall(r'from "\./([^"]+)"', files()[name].plain.decode()):
            address = f"/static/js/{imported}"
            if address not in found:
                found.add(address)
                wanted.add(address)
    return found


@pytest.mark.parametrize("address", WORST)
def test_a_cold_page_is_light(full: TestClient, address: str) -> None:
    """HTML, styles, scripts and icons together, with nothing cached: at most 120 kB."""
    html = full.get(address).text
    total = wire(full, address) + sum(wire(full, asset) for asset in assets(html))
    assert total <= COLD_MAX, f"{total:,} bytes"


@pytest.mark.parametrize("address", [a for a in ADDRESSES if a.startswith("/traces/")])
def test_a_trace_starts_small(full: TestClient, address: str) -> None:
    """Fewer than 1,500 elements, however many spans the trace has."""
    assert len(Markup.read(full.get(address).text).elements) < ELEMENTS_MAX


def test_no_answer_passes_a_megabyte(full: TestClient) -> None:
    """Not the columns of a long trace, not the twins."""
    for address in (
        f"/traces/{HUGE.trace_id}/spans.json?as=columns&after=0",
        f"/traces/{HUGE.trace_id}/spans.json?as=columns&after=8000",
        f"/traces/{HUGE.trace_id}/spans.json?limit=1000",
        f"/traces/{HUGE.trace_id}.json",
        "/traces.json?limit=200",
    ):
        answer = full.get(address)
        assert len(answer.content) < ANSWER_MAX, address


def test_answers_are_packed_only_where_asked(full: TestClient) -> None:
    """A client without gzip gets plain text of the same words."""
    packed = full.get(f"/traces/{RESEARCH}")
    plain = full.get(f"/traces/{RESEARCH}", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text
    assert "Accept-Encoding" in plain.headers["vary"]


def flood() -> Scene:
    """A trace of long texts that pack badly: 60 calls, each with a history of 400 messages new to it."""
    random_ = random.Random(1)

    def words(chars: int) -> str:
        return "".join(random_.choices("abcdefghijklmnopqrstuvwxyz     ", k=chars))

    scene = Scene("flood", NOW_NS - 10**12, "talker")
    root = scene.span("agent", "talker", 0, 100_000)
    for call in range(60):
        said = tuple(say("user", words(1500)) for _ in range(400 if call == 30 else 4))
        content = Content(input=said, output=(say("assistant", words(20_000)),), error_stack=words(300_000))
        scene.span("model", "gpt-6-mini", call * 1000 + 1, 900, root, usage=(1, 0, 1, 0), content=content)
    scene.span(
        "tool", "dump", 90_000, 10, root, content=Content(input_value=words(5000), output_value=words(3_000_000))
    )
    return scene


def test_long_texts_do_not_make_a_page_heavy() -> None:
    """Pages of a transcript stay within the budget whatever was said; a step stays under a megabyte."""
    scene = flood()
    with client_of(SampleProvider(SampleReader((scene,)))) as client:
        address = f"/traces/{scene.trace_id}"
        for page in (address, f"{address}?after=20"):
            html = client.get(page).text
            total = wire(client, page) + sum(wire(client, asset) for asset in assets(html))
            assert total <= COLD_MAX, f"{page}: {total:,} bytes"
            assert len(Markup.read(html).elements) < ELEMENTS_MAX
        for step in (2, 32, 62):
            for form in ("", "?part=pane", "?part=raw"):
                answer = client.get(f"{address}/spans/{step}{form}")
                assert answer.status_code == 200
                assert len(answer.content) < ANSWER_MAX

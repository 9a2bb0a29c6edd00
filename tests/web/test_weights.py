"""Pages stay light: what comes over the wire on a first visit, and how many elements a page starts with."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from pilothouse.web.static_files import files

from .conftest import ADDRESSES, HUGE, RESEARCH
from .markup import Markup

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

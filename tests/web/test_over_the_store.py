"""The pages over the real server, fed with what real clients sent: every link leads somewhere, every step is shown."""

from __future__ import annotations

import json
import random
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from html import unescape

import pytest

from tests.live import LiveServer, running_server

from .markup import Markup

SOME_OR_ALL = pytest.mark.parametrize("at_most", [pytest.param(10_000, marks=pytest.mark.slow, id="all"), 16])
"""All of them take minutes; at most times a sample does, another one each time."""
SEED = random.randrange(1 << 30)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server of its own: what others send may name traces that nobody has."""
    with running_server(tmp_path_factory.mktemp("pages")) as running:
        yield running


def get(server: LiveServer, address: str, accept: str = "text/html") -> tuple[int, str]:
    """Status and body; errors are answers too."""
    headers = {"Authorization": f"Bearer {server.key}", "Accept": accept}
    request = urllib.request.Request(server.url + address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def kind_of(address: str) -> str:
    """Addresses of one shape: the ids in them left out."""
    return re.sub(r"[0-9a-f]{32}|(?<=/spans/)\d+|(?<=/sessions/)[^?]+|(?<==)[^&]*", "*", address)


@SOME_OR_ALL
def test_every_link_leads_somewhere(server: LiveServer, at_most: int) -> None:
    """From the first page on, links of every shape: no error, no broken tag, each a twin in JSON."""
    print("seed", SEED)
    dice = random.Random(SEED)
    waiting = ["/"]
    seen: dict[str, str] = {}
    shapes: dict[str, int] = {}
    while waiting and len(seen) < min(2 * at_most, 260):
        # From the front: pages near the first one; now and then from anywhere.
        address = waiting.pop(0 if dice.random() < 0.5 else dice.randrange(len(waiting)))
        # A few of every shape say as much as all.
        shape = kind_of(address)
        shapes[shape] = shapes.get(shape, 0) + 1
        if address in seen or shapes[shape] > 2:
            continue
        status, html = get(server, address)
        seen[address] = html
        assert status == 200, (address, Markup.read(html).text[-500:])
        if not html.startswith("<!doctype html>"):
            continue
        page = Markup.read(html)
        assert page.wrong == [], address
        assert get(server, address, "application/json")[0] == 200, address
        for element in page.elements:
            for name in ("href", "hx-get", "data-later"):
                found = unescape(element.attributes.get(name, ""))
                if found.startswith("/") and not found.startswith("/static/"):
                    waiting.append(found.split("#")[0])
    assert len(shapes) > (20 if at_most > 16 else 6)


@SOME_OR_ALL
def test_every_step_of_every_trace_is_shown(server: LiveServer, at_most: int) -> None:
    """All dialects that were captured: each view of each trace, and each of its steps with all its content."""
    print("seed", SEED)
    rows = json.loads(get(server, "/traces.json?window=30d&limit=200")[1])["traces"]["items"]
    assert len({dialect for row in rows for dialect in row["dialects"]}) > 5
    for row in random.Random(SEED).sample(rows, min(len(rows), at_most // 8)):
        address = f"/traces/{row['trace_id']}"
        for view in ("transcript", "waterfall", "graph", "raw"):
            status, html = get(server, f"{address}?view={view}")
            assert status == 200, (address, view, Markup.read(html).text[-500:])
            assert Markup.read(html).wrong == []
        steps = [line["step"] for line in json.loads(get(server, f"{address}/spans.json")[1])["rows"]]
        assert len(steps) == row["spans"]
        for step in steps:
            status, html = get(server, f"{address}/spans/{step}")
            assert status == 200, (address, step, Markup.read(html).text[-500:])
            assert Markup.read(html).wrong == []


def test_a_browser_signs_in_with_the_link(server: LiveServer) -> None:
    """What a key gives is not lost on a browser: without a cookie the page sends it to sign in."""
    request = urllib.request.Request(server.url + "/traces", headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.url.startswith(server.url + "/sign-in")
        assert "pilothouse sign-in" in answer.read().decode()

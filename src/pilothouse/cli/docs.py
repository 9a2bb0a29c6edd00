"""``docs``: the guides, concepts and reference that come with the package. No server is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pilothouse.records import NotFound

from .help import command, unknown
from .root import Run
from .terminal import table

_KINDS = {"guides": "guide", "concepts": "concept", "reference": "reference"}
_HITS_MAX = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of the documentation."""

    topic: str
    """Its file's name without the ending."""
    kind: str
    title: str
    text: str

    @property
    def sections(self) -> list[str]:
        """Its headings below the title."""
        return [heading for _, heading in _headings(self.text)]

    def section(self, name: str) -> str:
        """One section with what is below it.

        Raises:
            BadRequest: there is none of that name; those that are close are named.
        """
        lines = self.text.splitlines()
        found = [(place, heading) for place, heading in _headings(self.text) if heading.lower() == name.lower()]
        if not found:
            raise unknown("section", name, self.sections, f"pilothouse docs {self.topic}")
        begin = found[0][0]
        depth = len(lines[begin]) - len(lines[begin].lstrip("#"))
        ends = [place for place, _ in _headings(self.text) if place > begin and _depth(lines[place]) <= depth]
        return "\n".join(lines[begin : ends[0] if ends else len(lines)])


@command(
    "docs",
    examples=(
        "pilothouse docs",
        "pilothouse docs cli --section 'pilothouse ls'",
        "pilothouse docs --search 'exit code'",
    ),
    keys="data[]: topic kind title bytes; with TOPIC the page as text, with --json: topic title text sections[]",
    exits=(0, 2, 3),
)
@click.argument("topic", default="")
@click.option("--section", default="", metavar="HEADING", help="only this section of the page")
@click.option(
    "--search", "words", default="", metavar="WORDS", help="instead: where these words stand, with their lines"
)
@click.pass_obj
def docs(run: Run, topic: str, section: str, words: str) -> None:
    """Read the documentation: without TOPIC the index, with it one page."""
    pages = _pages()
    if words:
        hits = [hit for page in pages if topic in ("", page.topic) for hit in _hits(page, words)]
        if not hits:
            raise NotFound("no page has these words", got=words, fix="pilothouse docs")
        first = hits[0]
        run.output.answer(hits[:_HITS_MAX], human=_found, next=[f"pilothouse docs {first['topic']}"])
        return
    if not topic:
        index = [{"topic": p.topic, "kind": p.kind, "title": p.title, "bytes": len(p.text.encode())} for p in pages]
        run.output.answer(index, human=_index, next=["pilothouse docs read-traces-from-the-shell"])
        return
    page = next((page for page in pages if page.topic == topic), None)
    if page is None:
        raise unknown("topic", topic, [page.topic for page in pages], "pilothouse docs")
    text = page.section(section) if section else page.text
    if run.settings.json_asked:
        facts = {"topic": page.topic, "title": page.title, "text": text, "sections": page.sections}
        run.output.answer(facts, human=lambda data: [data["text"]])
    else:
        run.output.text(text, rows=True)


def _folder() -> Path:
    """Where the pages are: in the package, or beside it in a checkout."""
    inside = Path(__file__).parent.parent / "docs"
    return inside if inside.is_dir() else Path(__file__).parents[3] / "docs"


def _pages() -> list[Page]:
    found: list[Page] = []
    for folder, kind in _KINDS.items():
        for path in sorted((_folder() / folder).glob("*.md")):
            text = path.read_text(encoding="utf-8")
            title = next((line[2:].strip() for line in text.splitlines() if line.startswith("# ")), path.stem)
            found.append(Page(topic=path.stem, kind=kind, title=title, text=text))
    if not found:
        raise NotFound("the documentation is not installed", got=str(_folder()), fix="pip install --upgrade pilothouse")
    return found


def _headings(text: str) -> Iterator[tuple[int, str]]:
    """Line and words of each heading below the title; a # inside an example is none."""
    inside = False
    for place, line in enumerate(text.splitlines()):
        if line.startswith("```"):
            inside = not inside
        elif not inside and re.match(r"#{2,6} ", line):
            yield place, line.lstrip("#").strip()


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip("#"))


def _hits(page: Page, words: str) -> Iterator[dict[str, Any]]:
    wanted = words.lower().split()
    headings = dict(_headings(page.text))
    section = ""
    for place, line in enumerate(page.text.splitlines()):
        section = headings.get(place, section)
        if all(word in line.lower() for word in wanted):
            yield {"topic": page.topic, "section": section, "line": place + 1, "text": line.strip()}


def _index(rows: list[dict[str, Any]]) -> list[str]:
    return table(
        ("topic", "kind", "bytes", "title"),
        ((r["topic"], r["kind"], r["bytes"], r["title"]) for r in rows),
        right="bytes",
    )


def _found(hits: list[dict[str, Any]]) -> list[str]:
    return table(
        ("topic", "line", "section", "text"),
        ((h["topic"], h["line"], h["section"], h["text"]) for h in hits),
        right="line",
    )

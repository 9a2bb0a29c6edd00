"""Diffs are read as they are, by their own counts; what is none is refused by its line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pilothouse.records import BadRequest, PilothouseError
from pilothouse.review.changes import text_of
from pilothouse.review.diff import pieces, read_diff

DIFF = """\
diff --git a/prompts/a.md b/prompts/a.md
index 1..2 100644
--- a/prompts/a.md
+++ b/prompts/a.md
@@ -2,3 +2,4 @@ heading
 before
--- a removed line that looks like a header
+++ an added one
+more
 after
@@ -40 +41 @@
-old
+new
\\ No newline at end of file
diff --git a/logo.png b/logo.png
Binary files a/logo.png and b/logo.png differ
diff --git "a/pr\\303\\266mpt \\"x\\".md" "b/pr\\303\\266mpt \\"x\\".md"
deleted file mode 100644
--- "a/pr\\303\\266mpt \\"x\\".md"
+++ /dev/null
@@ -1,2 +0,0 @@
-one
-two
"""


def test_each_line_knows_its_place_in_the_file_of_now() -> None:
    found = read_diff(DIFF)
    assert found.files == ["prompts/a.md", 'prömpt "x".md']
    assert list(found.binary) == ["logo.png"]
    first, second, gone = found.hunks
    assert [(line.kind, line.number) for line in first.lines] == [
        ("context", 2), ("removed", 3), ("added", 3), ("added", 4), ("context", 5),
    ]  # fmt: skip
    assert first.lines[1].text == "-- a removed line that looks like a header"
    assert [(line.kind, line.number, line.text) for line in second.lines] == [("removed", 41, "old"), ("added", 41, "new")]  # fmt: skip
    assert {line.kind for line in gone.lines} == {"removed"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hello\n", "no unified diff"),
        ("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n", "shorter than it says"),
        ("--- a/x\n+++ b/x\n@@ -1,1 +1,1 @@\n-a\n-b\n+c\n", "not as long as it says"),
        ("--- a/x\n+++ b/x\n@@ nonsense @@\n", "cannot be read"),
        ("@@ -1 +1 @@\n-a\n+b\n", "cannot be read"),
        ("diff --cc x\n@@@ -1,2 -1,2 +1,2 @@@\n  a\n", "two parents"),
    ],
)
def test_what_is_no_diff_is_refused_with_the_line(text: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        read_diff(text)


def test_an_empty_diff_has_nothing_to_review() -> None:
    assert list(read_diff("").hunks) == []
    assert list(read_diff("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n").hunks) == []


def test_a_long_hunk_comes_in_pieces_that_lose_no_line() -> None:
    lines = "".join(f"+{n} {'x' * 50}\n" for n in range(100)) + f"+{'y' * 5_000}\n"
    (hunk,) = read_diff(f"--- a/x\n+++ b/x\n@@ -0,0 +1,101 @@\n{lines}").hunks
    found = list(pieces(hunk, 1_000))
    assert [line.number for piece in found for line in piece.lines] == list(range(1, 102))
    assert max(sum(len(line.text) for line in piece.lines) for piece in found[:-1]) <= 1_000
    assert "4,000 characters are not shown" in found[-1].lines[0].text


def test_a_range_is_asked_of_git_and_nothing_of_it_is_an_option(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("config", "user.email", "a@example.com")
    git("config", "user.name", "a")
    # What a user has set for themselves changes nothing here.
    git("config", "diff.noprefix", "true")
    git("config", "diff.external", "false")
    (tmp_path / "prompt ä.md").write_text("one\n")
    git("add", ".")
    git("commit", "-qm", "a")
    (tmp_path / "prompt ä.md").write_text("one\ntwo\n")
    git("commit", "-qam", "b")
    with (tmp_path / "none").open("wb+") as none:
        found = read_diff(text_of("HEAD~1..HEAD", tmp_path, none))
        assert found.files == ["prompt ä.md"]
        assert [line.text for line in found.hunks[0].lines] == ["one", "two"]
        for wrong in ("--output=stolen", "-O/etc/passwd", "no..where", "a b", ""):
            with pytest.raises(PilothouseError):
                text_of(wrong, tmp_path, none)
    assert not (tmp_path / "stolen").exists()

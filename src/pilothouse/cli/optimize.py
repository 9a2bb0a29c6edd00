"""``optimize``: one prompt file improved within a budget, and only where cases prove it. Works where the command runs."""

from __future__ import annotations

import difflib
import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pilothouse.records import BadRequest, GateFailed

from .evals import open_suite, suite_option
from .help import command
from .root import Run
from .terminal import clean, one_line

if TYPE_CHECKING:
    from pilothouse.evals.judges.settings import Judge
    from pilothouse.evals.suite import Suite
    from pilothouse.optimize.journal import Journal


@command(
    "optimize",
    examples=(
        "pilothouse optimize prompt.md --suite evals/refunds --model gpt-4.1 --max-usd 3",
        "pilothouse optimize --resume last",
        "pilothouse optimize --resume last --write",
    ),
    keys="data: optimization changed sentence rounds[] final{outcome sentence} diff best spent_usd stopped wrote",
    exits=(0, 2, 3, 7),
)
@click.argument("prompt", default="")
@suite_option
@click.option("--target", default="", metavar="T", help="module:attribute  [suite.yaml's]")
@click.option("--model", default="", metavar="M", help="proposes prompts  [suite.yaml's optimizer]")
@click.option("--url", default="", metavar="URL", help="its address  [the server's gateway]")
@click.option("--key", default="", metavar="env:NAME", help="the variable of its key")
@click.option("--rounds", default=5, metavar="N", help="proposals at most  [5]")
@click.option("--max-usd", default=-1.0, metavar="USD", help="for all of it; 0: no cap  [5]")
@click.option("--repeats", default=0, metavar="N", help="how often each case is run  [the case's, suite.yaml's]")
@click.option("--simplify", default=8, metavar="N", help="sentences to try without  [8]")
@click.option("--seed", default=0, metavar="N", help="of the three parts  [0]")
@click.option("--resume", default="", metavar="OPT", help="go on: opt-0001, or last")
@click.option("--write", is_flag=True, help="put the better prompt into the file")
@click.pass_obj
def optimize(
    run: Run,
    prompt: str,
    suite: str,
    target: str,
    model: str,
    url: str,
    key: str,
    rounds: int,
    max_usd: float,
    repeats: int,
    simplify: int,
    seed: int,
    resume: str,
    write: bool,
) -> int:
    """Improve a prompt file; the target reads it from PILOTHOUSE_PROMPT_FILE. Exit 7: worse on the held-out cases."""
    from pilothouse.evals.version import code_version
    from pilothouse.optimize import journal
    from pilothouse.optimize.loop import Bounds, Work
    from pilothouse.optimize.loop import optimize as improve
    from pilothouse.optimize.parts import Parts
    from pilothouse.optimize.trial import in_child

    found = open_suite(suite)
    if resume:
        kept = journal.find(found.folder, resume)
    elif prompt:
        kept = _begin(found, prompt, target, rounds, max_usd, repeats, simplify, seed, code_version(Path()))
    else:
        raise BadRequest("no prompt file is named", fix="pilothouse optimize prompt.md --max-usd 3")
    about = kept.about
    if about["suite_version"] != found.version():
        raise BadRequest("the suite was changed since this optimization began", got=kept.folder.name, fix="pilothouse optimize " + about["prompt_file"])  # fmt: skip
    original = (kept.folder / "prompts" / f"{about['prompt']}.md").read_text("utf-8")
    bounds = Bounds(**about["bounds"])
    with kept.alone():
        work = Work(
            suite=found,
            journal=kept,
            parts=Parts(**{name: tuple(ids) for name, ids in about["parts"].items()}),
            bounds=replace(bounds, usd_max=max_usd) if max_usd >= 0 else bounds,
            target=about["target"],
            code=about["code"],
            optimizer=_optimizer(found, {"model": model, "url": url, "key": key}),
            runs=in_child,
            told=_say,
        )
        made = improve(work, original)
    data = _data(kept, about, original, made)
    file = Path(str(about["prompt_file"]))
    data["wrote"] = _write(file, original, made, data) if write else ""
    next_ = [f"pilothouse optimize --resume {kept.folder.name} --write"] if data["changed"] and not write else []
    run.output.answer(data, human=_told, next=next_)
    return GateFailed.exit_code if data["final"].get("outcome") == "fail" else 0


def _say(line: str) -> None:
    sys.stderr.write(f"{clean(line)}\n")


def _begin(
    suite: Suite,
    prompt: str,
    target: str,
    rounds: int,
    usd_max: float,
    repeats: int,
    simplify: int,
    seed: int,
    code: str,
) -> Journal:
    from pilothouse.evals.settings import load_settings
    from pilothouse.optimize import journal
    from pilothouse.optimize.loop import Bounds
    from pilothouse.optimize.parts import part
    from pilothouse.optimize.proposing import PROMPT_CHARS_MAX

    if not 1 <= rounds <= 50 or not 0 <= simplify <= 200:
        raise BadRequest("1 to 50 rounds, and up to 200 sentences", got=f"{rounds} and {simplify}")
    try:
        text = Path(prompt).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest("the prompt file cannot be read", got=prompt) from error
    if not text.strip() or len(text) > PROMPT_CHARS_MAX:
        raise BadRequest(f"a prompt has 1 to {PROMPT_CHARS_MAX:,} characters", got=f"{len(text):,}")
    settings = load_settings(suite.folder)
    named = target or settings.target
    if not named or named.startswith(("http://", "https://")):
        raise BadRequest("a target that reads the prompt is a module:attribute, run in this folder", got=named or None, fix="--target my_agent:agent")  # fmt: skip
    cases = [(id, suite.case(id).metadata.cluster) for id, one in suite.whole().items() if not one.quarantined]
    bounds = Bounds(rounds=rounds, usd_max=usd_max if usd_max >= 0 else 5.0, repeats=repeats, simplify=simplify)
    sha = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]
    made = journal.begin(
        suite.folder,
        {
            "prompt_file": prompt, "prompt": sha, "target": named, "code": code, "suite_version": suite.version(),
            "seed": seed, "bounds": asdict(bounds), "parts": asdict(part(cases, seed=seed)),
        },
    )  # fmt: skip
    made.keep(text)
    return made


def _optimizer(suite: Suite, given: Mapping[str, str]) -> Judge:
    from pilothouse.evals.judges.settings import read_judge
    from pilothouse.evals.settings import load_settings

    row = {**load_settings(suite.folder).optimizer, **{name: value for name, value in given.items() if value}}
    if not row.get("model"):
        raise BadRequest("no model is named that proposes prompts", fix="--model gpt-4.1, or optimizer: {model: …} in suite.yaml")  # fmt: skip
    return read_judge("optimizer", row, suite.folder, place="suite.yaml: optimizer")


def _data(kept: Journal, about: Mapping[str, Any], original: str, made: Mapping[str, Any]) -> dict[str, Any]:
    name = str(about["prompt_file"])
    lines = difflib.unified_diff(
        original.splitlines(keepends=True), made["prompt"].splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    diff = "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return {
        "optimization": kept.folder.name,
        "folder": str(kept.folder),
        "changed": made["changed"],
        "sentence": _sentence(made),
        "rounds": made["rounds"],
        "parts": {name: len(ids) for name, ids in about["parts"].items()},
        "final": made["final"] or {},
        "diff": diff,
        "best": str(kept.keep(made["prompt"])),
        "spent_usd": made["spent_usd"],
        "stopped": made["stopped"],
    }


def _sentence(made: Mapping[str, Any]) -> str:
    if not made["changed"]:
        tried = len(made["rounds"])
        stopped = f" ({made['stopped']})" if made["stopped"] else ""
        return f"found nothing that is proven to be better, in {tried} proposals{stopped}: the prompt stays as it is"
    words = {"pass": "better on cases nobody looked at", "fail": "worse on cases nobody looked at"}
    final = made["final"]
    told = words.get(
        final["outcome"], "proven on the validation cases; on those nobody looked at there is not enough data"
    )
    return f"{told}: {final['sentence']}"


def _write(file: Path, original: str, made: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    from pilothouse.evals import payloads

    if not data["changed"] or made["final"]["outcome"] == "fail":
        return ""
    try:
        now = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest("the prompt file cannot be read", got=str(file)) from error
    if now not in (original, made["prompt"]):
        raise BadRequest("the prompt file was changed meanwhile", got=str(file), fix=f"diff {file} {data['best']}")
    mode = file.stat().st_mode
    payloads.write(file.resolve(), made["prompt"].encode())
    file.chmod(mode & 0o777)
    return str(file)


def _told(data: Mapping[str, Any]) -> Iterable[str]:
    for one in data["rounds"]:
        yield f"round {one['round']}  {one['outcome']}  {one_line(one['reason'], 200)}"
        yield f"    {one_line(one['why'], 300)}"
    yield from (clean(line) for line in data["diff"].splitlines())
    yield clean(data["sentence"])
    yield f"{data['optimization']}  {data['spent_usd']:.4f} USD  {data['best']}"
    if data["wrote"]:
        yield f"wrote {data['wrote']}"

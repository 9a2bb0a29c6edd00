"""The policy file: which one is in force, what another one would do, its versions, and changing it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from pilothouse.policies import Bounds, PolicyVersion, Trial
from pilothouse.policy import Problem, json_schema
from pilothouse.records import BadRequest

from .context import Caller
from .envelope import Envelope, answer
from .params import moment

router = APIRouter(tags=["policy"])

TEXT_MAX = 1_000_000
_Text = Annotated[str, Field(max_length=TEXT_MAX, description="The whole file, in YAML, comments included.")]
_Number = Annotated[str, Path(max_length=20, description="The number of a version, as the list gives it.")]


class PolicyInfo(BaseModel):
    """The policy in force."""

    version: str = Field(description="Hash of its content; none where there is no file.")
    path: str = Field(description="Empty where there is no file: everything is at its default.")
    sections: dict[str, Any] = Field(description="What it says, by section.")
    error: dict[str, Any] | None = Field(
        description="What is wrong with the file as it is now; this one stays in force."
    )
    text: str = Field(description="The file as it stands, also where it is wrong.")
    revision: str = Field(description="Hash of the text: whoever writes says which one they had read. Empty: no file.")
    editable: bool = Field(description="Whether it can be written from here.")
    why_not: str = Field(description="Why it cannot be.")


class ProposedPolicy(BaseModel):
    """A text that might become the policy."""

    model_config = ConfigDict(extra="forbid")

    text: _Text


class TriedPolicy(ProposedPolicy):
    """A text that might become the policy, and the traffic it is tried on."""

    since: str = Field("24h", max_length=40, description="From: 15m, 24h, 7d (ago) or ISO 8601.")
    until: str = Field("", max_length=40, description="Before: the same forms. Default: now.")
    seed: int | None = Field(None, ge=0, lt=1 << 31, description="Decides which traces are taken of too many.")
    traces: int = Field(Bounds().traces_max, ge=1, le=20_000, description="At most so many traces.")
    seconds: float = Field(Bounds().seconds_max, ge=1, le=100, description="At most so long.")


class NewPolicy(ProposedPolicy):
    """A text that is to become the policy."""

    base: str = Field(max_length=40, description="revision of the file that you read; empty where there was none.")
    note: str = Field("", max_length=2_000, description="Why, for the history.")
    dry_run: bool = Field(False, description="Only say what would change.")


class TakenBack(BaseModel):
    """Which version is to be taken up again."""

    model_config = ConfigDict(extra="forbid")

    to: int | None = Field(None, ge=1, description="A version; else the one before.")
    note: str = Field("", max_length=2_000)
    dry_run: bool = Field(False, description="Only say what would change.")


class CheckedPolicy(BaseModel):
    """What is wrong with a text."""

    version: str = Field(description="The version it would have; empty where something is wrong.")
    problems: list[Problem] = Field(description="By line.")
    diff: list[str] = Field(description="What it would change in the file, as a unified diff.")


class WrittenPolicy(BaseModel):
    """A version that was written, or would be."""

    written: PolicyVersion | None = Field(description="None where it was only planned.")
    version: str
    diff: list[str] = Field(description="What changes in the file, as a unified diff.")
    undo: str = Field(description="The command that takes it back; empty where nothing was written.")


class PolicyVersions(BaseModel):
    """Versions of the policy."""

    versions: list[PolicyVersion] = Field(description="Newest first.")
    total: int


class VersionText(BaseModel):
    """One version."""

    number: int
    text: str
    diff: list[str] = Field(description="Against the version before it, or the one asked for.")


@router.get("/policy", response_model=Envelope[PolicyInfo])
def show_policy(caller: Caller) -> Response:
    """The policy in force, and the file as it stands. Needs write: it names upstreams and what is watched for."""
    caller.need("write")
    watched = caller.provider.policy
    policy = watched.refresh()
    wrong = watched.error
    current = caller.provider.policies.keeper.current()
    return answer(
        {
            "version": policy.version,
            "path": policy.path,
            "sections": dict(policy.sections),
            "error": None if wrong is None else wrong.as_dict(),
            "text": current.text,
            "revision": current.revision,
            "editable": current.editable,
            "why_not": current.why_not,
        }
    )


@router.get("/policy/schema", response_model=Envelope[dict[str, Any]])
def policy_schema(caller: Caller) -> Response:
    """JSON Schema of the file, for editors."""
    caller.need("read")
    return answer(json_schema())


@router.post("/policy/check", response_model=Envelope[CheckedPolicy])
def check_policy(caller: Caller, proposed: ProposedPolicy) -> Response:
    """Everything that is wrong with a text, each with its place and line. Needs write: it says what is in force."""
    caller.need("write")
    keeper = caller.provider.policies.keeper
    found = keeper.problems(proposed.text)
    version, changes = ("", ()) if found else keeper.planned(proposed.text)
    return answer({"version": version, "problems": [asdict(one) for one in found], "diff": list(changes)})


@router.post("/policy/try", response_model=Envelope[Trial])
def try_policy(caller: Caller, tried: TriedPolicy) -> Response:
    """What a text would have done with stored traffic, beside the policy in force. Changes nothing. Needs write."""
    caller.need("write")
    since = moment(tried.since, "since")
    found = caller.provider.policies.try_text(
        caller.project_id,
        tried.text,
        since_ns=since if since is not None else 0,
        until_ns=moment(tried.until, "until"),
        seed=tried.seed,
        bounds=Bounds(traces_max=tried.traces, seconds_max=tried.seconds),
    )
    return answer(found, next=["pilothouse docs policies"])


@router.post("/policy", response_model=Envelope[WrittenPolicy])
def set_policy(caller: Caller, wanted: NewPolicy) -> Response:
    """Write a new version of the policy file. Needs admin, and a person: keys of agents are refused."""
    caller.need("admin")
    keeper = caller.provider.policies.keeper
    version, changes = keeper.planned(wanted.text)
    if wanted.dry_run:
        return answer({"written": None, "version": version, "diff": list(changes), "undo": ""})
    made = keeper.set(wanted.text, base=wanted.base, note=wanted.note, actor=caller.decider)
    caller.audit("policy set", f"version {made.number} ({made.version}): {made.note}"[:500])
    return answer({"written": made, "version": version, "diff": list(changes), "undo": "pilothouse policy undo"})


@router.post("/policy/undo", response_model=Envelope[WrittenPolicy])
def undo_policy(caller: Caller, wanted: TakenBack) -> Response:
    """Take up an earlier version again: the one before, or the one named. Needs admin, and a person."""
    caller.need("admin")
    keeper = caller.provider.policies.keeper
    text = keeper.earlier(wanted.to)
    version, changes = keeper.planned(text)
    if wanted.dry_run:
        return answer({"written": None, "version": version, "diff": list(changes), "undo": ""})
    made = keeper.undo(actor=caller.decider, to=wanted.to, note=wanted.note)
    caller.audit("policy undo", f"version {made.number} ({made.version}): {made.note}"[:500])
    back = f"pilothouse policy undo {made.number - 1}"
    return answer({"written": made, "version": version, "diff": list(changes), "undo": back})


@router.get("/policy/versions", response_model=Envelope[PolicyVersions])
def policy_versions(
    caller: Caller,
    limit: Annotated[int, Query(ge=1, le=500, description="At most so many.")] = 50,
    before: Annotated[int | None, Query(ge=1, description="Only versions before this one.")] = None,
) -> Response:
    """The versions of the policy, newest first: who, when, why. Needs write."""
    caller.need("write")
    versions, total = caller.provider.policies.keeper.versions(limit=limit, before=before)
    following = [f"pilothouse policy diff {versions[0].number}"] if versions else []
    return answer({"versions": versions, "total": total}, next=following)


@router.get("/policy/versions/{number}", response_model=Envelope[VersionText])
def policy_version(
    caller: Caller,
    number: _Number,
    against: Annotated[int | None, Query(ge=1, description="Another version; else the one before it.")] = None,
) -> Response:
    """The text of a version, and what changed in it. Needs write."""
    caller.need("write")
    if not (number.isascii() and number.isdecimal()):
        raise BadRequest("a version of the policy is a number", got=number, fix="pilothouse policy history")
    keeper = caller.provider.policies.keeper
    text, changes = keeper.text(int(number)), keeper.diff(int(number), against)
    return answer({"number": int(number), "text": text, "diff": list(changes)})

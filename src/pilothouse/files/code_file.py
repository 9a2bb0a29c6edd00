"""``code.json``: which code, versions, prompts and flags made a trace, with file and line of each component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pilothouse.traces.code_places import code_place
from pilothouse.traces.model import CodePlace, Span, Trace

_EACH_MAX = 500
"""Components, prompts and flags that are listed; more than that is no list of names any more."""
_RESOURCES_MAX = 20
_OF_A_MACHINE = {
    *("process.working_directory", "process.executable.path", "process.command", "process.command_line"),
    *("process.command_args", "process.owner", "process.pid"),
}
"""What holds paths or names of one machine or its user, and says nothing of the code."""
_REVISION = (
    *("vcs.ref.head.revision", "vcs.repository.ref.revision", "git.commit.sha", "git.commit", "git.sha", "git_sha"),
    *("service.git.sha", "git.revision", "langsmith.git.commit"),
)
_BRANCH = ("vcs.ref.head.name", "vcs.repository.ref.name", "git.branch")
_REPOSITORY = ("vcs.repository.url.full", "git.repository_url", "git.repository.url")
_RELEASE = ("service.version", "langfuse.release", "release", "sentry.release", "deployment.version")
_FLAG_VALUES = (
    "feature_flag.result.variant",
    "feature_flag.variant",
    "feature_flag.result.value",
    "feature_flag.value",
)
_FLAG_KEY = "feature_flag.key"


class CodeFile:
    """Gathers it span by span."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._components: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._raised: list[dict[str, Any]] = []
        self._facts: dict[str, dict[str, None]] = {}
        self._resources: dict[str, dict[str, str]] = {}

    def add(self, span: Span, row: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> CodePlace | None:
        """Take in a span; gives where it was made, as far as the span itself says."""
        resource: Mapping[str, str] = row["resource"]
        attributes: Mapping[str, str] = row["attributes"]
        for name, keys in (
            ("revisions", _REVISION),
            ("branches", _BRANCH),
            ("repositories", _REPOSITORY),
            ("releases", _RELEASE),
        ):
            for source in (resource, attributes):
                self._note(name, next((source[key] for key in keys if source.get(key)), ""))
        if len(self._resources) < _RESOURCES_MAX:
            named = {key: text[:500] for key, text in sorted(resource.items())[:100] if key not in _OF_A_MACHINE}
            self._resources.setdefault(repr(named), named)
        self._note("services", row["service"])
        self._note("prompts", "@".join(filter(None, (row["prompt_name"], row["prompt_version"]))))
        self._note("features", row["feature"])
        for tag in row["tags"]:
            self._note("tags", tag)
        self._note("emitters", "@".join(filter(None, (row["scope_name"], row["scope_version"]))))
        self._note("models", span.model)
        for source in (attributes, *(event["attributes"] for event in events)):
            if key := source.get(_FLAG_KEY, ""):
                value = next((source[name] for name in _FLAG_VALUES if source.get(name)), "")
                self._note("feature_flags", f"{key}={value}" if value else key)
        place = code_place(attributes, resource)
        if span.kind in ("agent", "tool", "model") or place is not None:
            self._component(span, place)
        if row["error_stack"] and len(self._raised) < _EACH_MAX:
            raised = code_place({}, resource, row["error_stack"])
            if raised is not None:
                self._raised.append({"step": f"{span.step:03d}", "error": span.error_type, **_told(raised)})
        return place

    def whole(self) -> dict[str, Any]:
        """The file's content: keys that are empty are there all the same, so that nobody has to guess."""
        row = self._trace.row
        lists = ("services", "releases", "revisions", "branches", "repositories", "prompts", "models", "feature_flags")
        return {
            "service": row.service,
            "environment": row.environment,
            "agent": row.agent,
            "agent_version": row.agent_version,
            "agent_versions": sorted({span.agent_version for span in self._trace.spans if span.agent_version}),
            **{name: sorted(self._facts.get(name, ())) for name in (*lists, "features", "tags", "emitters")},
            "dialects": sorted(row.dialects),
            "components": sorted(
                self._components.values(), key=lambda one: (one["kind"], one["name"], one.get("file", ""))
            ),
            "raised": self._raised,
            "resources": list(self._resources.values()),
        }

    def _component(self, span: Span, place: CodePlace | None) -> None:
        key = (span.kind, span.label, place.text if place else "")
        known = self._components.get(key)
        if known is not None:
            known["spans"] += 1
            known["failed"] += int(span.failed)
        elif len(self._components) < _EACH_MAX:
            told = _told(place) if place else {}
            counts = {"first_step": f"{span.step:03d}", "spans": 1, "failed": int(span.failed)}
            self._components[key] = {"kind": span.kind, "name": span.label, **told, **counts}

    def _note(self, name: str, value: Any) -> None:
        known = self._facts.setdefault(name, {})
        if value and len(known) < _EACH_MAX:
            known[str(value)[:300]] = None


def _told(place: CodePlace) -> dict[str, Any]:
    return {"file": place.file, "line": place.line, "function": place.function}

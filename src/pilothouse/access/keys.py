"""Projects and API keys: made once, shown once, stored as a hash."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from dataclasses import dataclass
from typing import Literal

from pilothouse.records import ACTOR_KINDS, BadRequest, NotAllowed, NotFound, new_id, new_secret
from pilothouse.store.control_store import ControlStore

Mode = Literal["read", "annotate", "write", "admin"]
MODES: tuple[Mode, ...] = ("read", "annotate", "write", "admin")
"""Each mode includes those before it. Sending telemetry needs ``write``."""

_MODE_FOR = {"agent": "read", "evaluator": "annotate"}
"""The mode of a key made for an actor, where none is named; any other key's is ``write``."""

_REFRESH_S = 2.0
_HEAD = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a caller may do."""

    project_id: str
    key_id: str
    mode: Mode
    who: str
    """For the audit log: the key's name, or the page."""
    actor_kind: str = ""
    """person, agent or evaluator, where the key was made for one; empty: whoever uses it says so."""
    person: str = ""
    """Whom a browser was signed in for; empty where no person was named."""
    narrowed: bool = False
    """True where the caller asked for less than the key has."""

    def allows(self, mode: Mode) -> bool:
        """True where this grant includes that mode."""
        return MODES.index(self.mode) >= MODES.index(mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key that was just made: the only moment its secret is known."""

    key_id: str
    project_id: str
    mode: Mode
    secret: str
    actor_kind: str = ""


def hash_secret(secret: str) -> str:
    """The hash a secret is stored by. Secrets have 200 random bits, so a plain SHA-256 cannot be searched."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def create_project(control: ControlStore, name: str) -> str:
    """Make a project and return its id.

    Raises:
        BadRequest: the name is empty, too long or taken.
    """
    name = name.strip()
    if not 0 < len(name) <= 200 or not name.isprintable():
        raise BadRequest("a project's name has 1 to 200 printable characters", got=name[:200])
    project_id = new_id("prj")
    control.add_project(project_id, name)
    return project_id


def create_key(
    control: ControlStore, project_id: str, *, name: str, mode: str = "", secret: str = "", actor_kind: str = ""
) -> NewKey:
    """Make a key. ``secret`` may be given, e.g. by whoever sets a server up unattended.

    Without a mode a key for an agent may read, one for an evaluator annotate, and any other write.

    Raises:
        BadRequest: an unknown mode or actor, or a given secret that is too short.
    """
    if actor_kind and actor_kind not in ACTOR_KINDS:
        raise BadRequest("a key is for no such actor", got=actor_kind, allowed=list(ACTOR_KINDS))
    mode = mode or _MODE_FOR.get(actor_kind, "write")
    if mode not in MODES:
        raise BadRequest("no such mode", got=mode, allowed=list(MODES))
    if not 0 < len(name) <= 200 or not name.isprintable():
        raise BadRequest("a key's name has 1 to 200 printable characters", got=name[:200])
    if secret and len(secret) < 20:
        raise BadRequest("a key of your own needs at least 20 characters", got=f"{len(secret)} characters")
    secret = secret or new_secret("ph")
    key_id = new_id("key")
    control.add_key(
        key_id=key_id,
        project_id=project_id,
        name=name,
        mode=mode,
        secret_hash=hash_secret(secret),
        hint=secret[:6] + "…" + secret[-2:],
        actor_kind=actor_kind,
    )
    return NewKey(key_id=key_id, project_id=project_id, mode=mode, secret=secret, actor_kind=actor_kind)


def revoke_key(control: ControlStore, project_id: str, key_id: str) -> None:
    """Revoke a key; it stops working within seconds on every server.

    Raises:
        NotFound: the project has no such active key.
    """
    if not control.revoke_key(project_id, key_id):
        raise NotFound("no active key of that id", got=key_id, fix="pilothouse keys ls")


class Keyring:
    """Answers who a token is, from memory; reads the keys again every few seconds. Safe to share between threads."""

    def __init__(self, control: ControlStore) -> None:
        self._control = control
        self._lock = threading.Lock()
        self._grants: dict[str, list[tuple[str, Grant]]] = {}
        self._read_at = -_REFRESH_S
        self._own: dict[str, Grant] = {}

    def add_own(self, secret: str, grant: Grant) -> None:
        """Accept one more secret as long as this process lives: the local token of the runtime file."""
        self._own[hash_secret(secret)] = grant

    def authenticate(self, token: str | None) -> Grant:
        """Who this token is.

        Raises:
            NotAllowed: no token, or one that no active key has.
        """
        if not token:
            raise NotAllowed("no API key", fix="send 'Authorization: Bearer KEY'; pilothouse keys new makes one")
        digest = hash_secret(token)
        grant = self._find(digest)
        if grant is None:
            raise NotAllowed(
                "this API key is not known here, or was revoked", got=token[:6] + "…", fix="pilothouse keys ls"
            )
        return grant

    def _find(self, digest: str) -> Grant | None:
        # The index holds only the head of each hash; the whole is compared in constant time.
        for known, grant in (*self._current().get(digest[:_HEAD], ()), *self._own.items()):
            if hmac.compare_digest(known, digest):
                return grant
        return None

    def _current(self) -> dict[str, list[tuple[str, Grant]]]:
        now = time.monotonic()
        if now - self._read_at < _REFRESH_S:
            return self._grants
        with self._lock:
            if now - self._read_at >= _REFRESH_S:
                grants: dict[str, list[tuple[str, Grant]]] = {}
                for row in self._control.active_keys():
                    digest: str = row["secret_hash"]
                    grant = Grant(
                        project_id=row["project_id"],
                        key_id=row["key_id"],
                        mode=row["mode"],
                        who=row["name"],
                        actor_kind=row["actor_kind"],
                    )
                    grants.setdefault(digest[:_HEAD], []).append((digest, grant))
                self._grants = grants
                self._read_at = now
        return self._grants

    def refresh(self) -> None:
        """Read the keys again at the next question: after one was made or revoked here."""
        self._read_at = -_REFRESH_S

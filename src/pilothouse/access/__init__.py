"""Access: projects, API keys with modes, signing in to the page."""

from .actors import PAGE_ID, actor_of, check_same_site, decider, narrowed
from .keys import MODES, Grant, Keyring, Mode, NewKey, create_key, create_project, hash_secret, revoke_key
from .pages import LINK_MINUTES, new_link, page_grant, sign_in, sign_out

__all__ = [
    "LINK_MINUTES",
    "MODES",
    "PAGE_ID",
    "Grant",
    "Keyring",
    "Mode",
    "NewKey",
    "actor_of",
    "check_same_site",
    "create_key",
    "create_project",
    "decider",
    "hash_secret",
    "narrowed",
    "new_link",
    "page_grant",
    "revoke_key",
    "sign_in",
    "sign_out",
]

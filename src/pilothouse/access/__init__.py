"""Access: projects, API keys with modes, signing in to the page."""

from .keys import MODES, Grant, Keyring, Mode, NewKey, create_key, create_project, hash_secret, revoke_key
from .pages import LINK_MINUTES, new_link, page_grant, sign_in, sign_out

__all__ = [
    "LINK_MINUTES",
    "MODES",
    "Grant",
    "Keyring",
    "Mode",
    "NewKey",
    "create_key",
    "create_project",
    "hash_secret",
    "new_link",
    "page_grant",
    "revoke_key",
    "sign_in",
    "sign_out",
]

"""What secrets and personal data look like: the first set of rules. More can be given in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Check = Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One thing to find. The expression is RE2 syntax without look-around, so that scanning is linear in time."""

    name: str
    group: str
    """``secrets`` or ``personal``: what the configuration switches on."""
    expression: str
    check: Check | None = None
    """A second opinion on each hit, e.g. a check digit: False lets the text pass."""
    alone: bool = True
    """Whether one hit is enough; else it takes two different ones near each other."""


def luhn(text: str) -> bool:
    """True where the digits satisfy the Luhn check of payment card numbers (ISO/IEC 7812-1)."""
    digits = [int(char) for char in text if char.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def iban(text: str) -> bool:
    """True where the text satisfies the mod-97 check of account numbers (ISO 13616)."""
    compact = text.replace(" ", "").upper()
    if not 15 <= len(compact) <= 34:
        return False
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def social_security(text: str) -> bool:
    """True where area, group and serial of a US number are in the ranges that are given out."""
    area, group, serial = text.split("-")
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


_SECRETS: Mapping[str, str] = {
    "openai key": r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}",
    "anthropic key": r"\bsk-ant-[A-Za-z0-9_-]{20,}",
    "pilothouse key": r"\bph_[0-9a-z]{40}\b",
    "aws key id": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
    "github token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})",
    "gitlab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "google key": r"\bAIza[A-Za-z0-9_-]{35}",
    "slack token": r"\bxox[abposr]-[A-Za-z0-9-]{10,}",
    "stripe key": r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
    "huggingface token": r"\bhf_[A-Za-z0-9]{30,60}\b",
    "npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "pypi token": r"\bpypi-[A-Za-z0-9_-]{50,}",
    "langfuse key": r"\bsk-lf-[0-9a-f]{8}-[0-9a-f-]{27}",
    "json web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "private key": r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]+-----END [A-Z ]{0,30}PRIVATE KEY-----",
    "bearer token": r"(?i)\bbearer [a-z0-9._~+/-]{20,}=*",
    "password in a URL": r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{1,100}:[^\s:/@]{1,200}@",
}

PATTERNS: tuple[Pattern, ...] = (
    *(Pattern(name=name, group="secrets", expression=expression) for name, expression in _SECRETS.items()),
    Pattern(name="email", group="personal", expression=r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,5}\.[A-Za-z]{2,24}\b"),
    Pattern(name="payment card", group="personal", expression=r"\b[3-6][0-9](?:[ -]?[0-9]){11,17}\b", check=luhn),
    Pattern(name="iban", group="personal", expression=r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", check=iban),
    Pattern(name="us social security number", group="personal", expression=r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", check=social_security),
    Pattern(name="phone", group="personal", expression=r"\+[1-9][0-9]{0,2}[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{2,4}(?:[ .-]?[0-9]{2,4}){1,4}\b"),
)  # fmt: skip

GROUPS = ("secrets", "personal")

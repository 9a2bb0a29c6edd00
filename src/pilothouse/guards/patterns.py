"""What secrets and personal data look like: the first set of rules. More can be given in the configuration."""

from __future__ import annotations

import math
import re
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


def assigned(text: str) -> bool:
    """True where what is assigned looks made by a machine: mixed, and not a placeholder or a call."""
    value = _ASSIGNMENT.split(text, maxsplit=1)[-1].strip("\"' ")
    kinds = sum(any(test(char) for char in value) for test in (str.isdigit, str.isalpha))
    counts = [value.count(char) / len(value) for char in set(value)]
    return kinds == 2 and not _PLACEHOLDER.search(value) and -sum(share * math.log2(share) for share in counts) > 3.0


_ASSIGNMENT = re.compile(r"\s*(?:=>|:=|=|:)\s*")
_PLACEHOLDER = re.compile(
    r"(?i)example|placeholder|change.?me|your|xxx|\*\*\*|<|\$|environ|getenv|\(|\.get|process\.|masked"
)

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
    "sendgrid key": r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
    "digitalocean token": r"\bdo[opr]_v1_[a-f0-9]{64}\b",
    "shopify token": r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b",
    "twilio key": r"\bSK[0-9a-f]{32}\b",
    "age key": r"\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}\b",
    "grafana token": r"\bgl(?:sa|c)_[A-Za-z0-9+/=_]{32,}",
    "linear key": r"\blin_(?:api|oauth)_[A-Za-z0-9]{40}",
    "notion token": r"\b(?:ntn_|secret_)[A-Za-z0-9]{43,50}\b",
    "airtable token": r"\bpat[A-Za-z0-9]{14}\.[a-f0-9]{64}\b",
    "atlassian token": r"\bATATT3[A-Za-z0-9_=-]{100,}",
    "databricks token": r"\bdapi[a-f0-9]{32}\b",
    "docker token": r"\bdckr_(?:pat|oat)_[A-Za-z0-9_-]{27,}",
    "doppler token": r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9]{40,44}\b",
    "dynatrace token": r"\bdt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}\b",
    "figma token": r"\bfig[dou]_[A-Za-z0-9_-]{40,}",
    "groq key": r"\bgsk_[A-Za-z0-9]{48,60}\b",
    "langsmith key": r"\blsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}\b",
    "mailchimp key": r"\b[a-f0-9]{32}-us[0-9]{1,2}\b",
    "mailgun key": r"\bkey-[a-f0-9]{32}\b",
    "new relic key": r"\bNR(?:AK|JS|II|AL)-[A-Za-z0-9_-]{19,}",
    "openrouter key": r"\bsk-or-v1-[a-f0-9]{64}\b",
    "perplexity key": r"\bpplx-[A-Za-z0-9]{48}\b",
    "planetscale token": r"\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,64}",
    "postman key": r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b",
    "pulumi token": r"\bpul-[a-f0-9]{40}\b",
    "replicate token": r"\br8_[A-Za-z0-9]{37}\b",
    "rubygems key": r"\brubygems_[a-f0-9]{48}\b",
    "sentry token": r"\bsntry[su]_[A-Za-z0-9+/=_]{60,}",
    "slack webhook": r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{40,60}",
    "discord webhook": r"https://(?:\w+\.)?discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,80}",
    "square token": r"\bsq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,43}\b",
    "stripe webhook secret": r"\bwhsec_[A-Za-z0-9+/=]{32,}",
    "supabase token": r"\bsb(?:p|_secret)_[A-Za-z0-9_-]{31,}",
    "telegram bot token": r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b",
    "terraform token": r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}",
    "vault token": r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}",
    "xai key": r"\bxai-[A-Za-z0-9]{70,90}\b",
    "azure storage key": r"\bAccountKey=[A-Za-z0-9+/]{86}==",
    "google oauth secret": r"\bGOCSPX-[A-Za-z0-9_-]{28}\b",
    "google oauth token": r"\bya29\.[A-Za-z0-9_-]{60,}",
    "facebook token": r"\bEAA[A-Za-z0-9]{100,}",
    "assigned secret": r"(?i)\b[a-z0-9_.-]{0,30}(?:passw(?:or)?d|secret|api[_-]?key|auth[_-]?token|access[_-]?token|private[_-]?key)[\"']?\s{0,3}(?:=>|:=|=|:)\s{0,3}[\"']?[A-Za-z0-9/+=_.~!@#%^&*-]{12,100}",
    "password in a URL": r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{1,100}:[^\s:/@]{1,200}@",
}

PATTERNS: tuple[Pattern, ...] = (
    *(
        Pattern(name=name, group="secrets", expression=expression, check=assigned if name == "assigned secret" else None)
        for name, expression in _SECRETS.items()
    ),
    Pattern(name="email", group="personal", expression=r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,5}\.[A-Za-z]{2,24}\b"),
    Pattern(name="payment card", group="personal", expression=r"\b[3-6][0-9](?:[ -]?[0-9]){11,17}\b", check=luhn),
    Pattern(name="iban", group="personal", expression=r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", check=iban),
    Pattern(name="us social security number", group="personal", expression=r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", check=social_security),
    Pattern(name="phone", group="personal", expression=r"\+[1-9][0-9]{0,2}[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{2,4}(?:[ .-]?[0-9]{2,4}){1,4}\b"),
)  # fmt: skip

GROUPS = ("secrets", "personal")

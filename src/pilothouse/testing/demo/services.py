"""The services of the demo fleet: who they are, and in which dialect they report themselves."""

from dataclasses import dataclass
from typing import Literal

Dialect = Literal["openinference", "openllmetry"]


@dataclass(frozen=True, kw_only=True)
class Service:
    """A deployed program that runs agents."""

    name: str
    version: str
    environment: str
    dialect: Dialect


RESEARCH = Service(name="research-team", version="1.8.0", environment="production", dialect="openinference")
SUPPORT = Service(name="support-desk", version="2.3.1", environment="production", dialect="openllmetry")
SUPPORT_NEXT = Service(name="support-desk", version="2.4.0", environment="staging", dialect="openllmetry")
STOCK = Service(name="stock-keeper", version="0.9.2", environment="production", dialect="openinference")
BILLING = Service(name="billing-export", version="3.0.1", environment="production", dialect="openllmetry")

SERVICES = (RESEARCH, SUPPORT, SUPPORT_NEXT, STOCK, BILLING)

"""The anthropic SDK under OpenLLMetry."""

import spans_openllmetry
from anthropic_conversation import converse

spans_openllmetry.start("ANTHROPIC")
converse(spans_openllmetry.agent, spans_openllmetry.tool)

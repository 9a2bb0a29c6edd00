"""The openai SDK under OpenLLMetry."""

import spans_openllmetry
from openai_conversation import converse

spans_openllmetry.start("OPENAI")
converse(spans_openllmetry.agent, spans_openllmetry.tool)

"""What the models of the fleet say: the script of the model server."""

from pilothouse.testing.exchange import ToolCall
from pilothouse.testing.script import Fault, Latency, Reply, Rule, Script

RESEARCH_QUESTIONS = ("prices", "reliability", "support")

_RESEARCH = (
    Rule(
        system="research lead",
        user="^Brief",
        after_tool="",
        reply=Reply(
            text="I split this into three questions and let the researchers work side by side.",
            calls=tuple(ToolCall(name="delegate", arguments={"question": name}) for name in RESEARCH_QUESTIONS),
        ),
    ),
    Rule(
        system="research lead",
        after_tool="delegate",
        reply=Reply(
            text="Draft brief. Prices fell by four per cent this year. Reliability is the same for both vendors. "
            "Support answers within a day. Last finding: {result}"
        ),
    ),
    Rule(
        system="research lead",
        user="critic",
        reply=Reply(
            text="Final brief. Prices fell by four per cent this year (vendor list of March). Both vendors were "
            "available 99.95 per cent of the time (status pages). Support answers within a day."
        ),
    ),
    Rule(
        system="researcher",
        after_tool="",
        reply=Reply(
            calls=(
                ToolCall(name="search_web", arguments={"query": "vendor figures this year"}),
                ToolCall(name="read_page", arguments={"address": "https://example.com/report"}),
            )
        ),
    ),
    Rule(
        system="researcher",
        reply=Reply(text="Two sources agree on this question; the figures are from this spring. {result}"),
    ),
    Rule(
        system="critic",
        user="^First draft",
        reply=Reply(
            reasoning="The draft names a figure without a source. The rest follows from the findings, so one change "
            "is enough: ask for the source of the reliability figure and accept everything else.",
            text='{"verdict": "revise", "reason": "name the source of the reliability figure"}',
        ),
    ),
    Rule(
        system="critic",
        reply=Reply(
            reasoning="Every figure has a source now.",
            text='{"verdict": "accept", "reason": "every figure has a source"}',
        ),
    ),
)

_SUPPORT = (
    Rule(
        system="support agent",
        after_tool="lookup_order",
        reply=Reply(text="Your parcel left our warehouse yesterday and should arrive on Thursday."),
    ),
    Rule(
        system="support agent",
        after_tool="start_refund",
        reply=Reply(text="The refund is on its way; your bank needs two or three days for it."),
    ),
    Rule(
        system="support agent",
        after_tool="search_help",
        reply=Reply(text="You find it under Account, Documents. I can also send it by mail if you like."),
    ),
    Rule(
        system="support agent",
        user="^thank",
        reply=Reply(text="You are welcome. Have a good day!"),
    ),
)

_STOCK = (
    # Never satisfied: the same call again and again.
    Rule(
        system="stock keeper",
        reply=Reply(calls=(ToolCall(name="check_stock", arguments={"sku": "B-17", "warehouse": "north"}),)),
    ),
)

_BILLING = (
    Rule(
        system="billing agent",
        after_tool="",
        reply=Reply(calls=(ToolCall(name="export_ledger", arguments={"month": "2026-10"}),)),
    ),
    Rule(
        system="billing agent",
        times=1,
        reply=Reply(fault=Fault(status=429, retry_after_s=0.2)),
    ),
    Rule(
        system="billing agent",
        user="quarter",
        reply=Reply(fault=Fault(status=500)),
    ),
    Rule(
        system="billing agent",
        reply=Reply(text="The ledger refused the export. I opened a ticket for the finance team."),
    ),
)

SCRIPT = Script(
    rules=(*_RESEARCH, *_SUPPORT, *_STOCK, *_BILLING),
    latency=Latency(median_s=0.06, spread=0.6, piece_s=0.002),
    latencies={
        "gpt-5*": Latency(median_s=0.18, spread=0.7, piece_s=0.004),
        "claude-sonnet*": Latency(median_s=0.14, spread=0.6),
    },
    # Short instructions are cached too, so that a small demo shows what caching saves.
    cache_tokens_min=256,
)

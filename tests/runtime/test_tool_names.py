"""A tool called by another name is called where that is certain, and never where it is not."""

from __future__ import annotations

import pytest

from pilothouse.runtime.tool_names import NamedCall, ToolNames, same_words

KNOWN = ("refund_order", "cancel_order", "get_order", "get_orders")


def call(tool: str, arguments: str = "{}") -> NamedCall:
    return NamedCall(tool=tool, arguments=arguments)


@pytest.mark.parametrize(
    ("name", "tool"),
    [("refundOrder", "refund_order"), ("order_refund", "refund_order"), ("Refund-Order", "refund_order"),
     ("functions.refund_order", None), ("refund_orders", None), ("refund", None), ("", None), ("___", None),
     ("getOrders", "get_orders"), ("get_orderss", None), ("REFUND_ORDER", "refund_order")],
)  # fmt: skip
def test_the_same_words_are_the_same_tool(name: str, tool: str | None) -> None:
    assert same_words(name, KNOWN) == tool


def test_words_of_two_tools_are_of_none() -> None:
    assert same_words("orderGet", ("get_order", "order_get")) is None


def test_what_a_model_put_right_once_stays_right() -> None:
    names = ToolNames()
    assert names.tools_of([call("refund_orders", '{"id":1}')], KNOWN) == ["refund_orders"]
    assert names.tools_of([call("refund_order", '{"id":1}')], KNOWN) == ["refund_order"]
    assert names.tools_of([call("refund_orders", '{"id":2}'), call("get_order")], KNOWN) == [
        "refund_order",
        "get_order",
    ]
    # The tool is gone: nothing is called instead.
    assert names.tools_of([call("refund_orders", '{"id":3}')], ("get_order",)) == ["refund_orders"]


def test_another_tool_with_the_same_arguments_is_no_correction() -> None:
    names = ToolNames()
    names.tools_of([call("show_order", '{"id":1}')], KNOWN)
    names.tools_of([call("cancel_order", '{"id":1}')], KNOWN)
    assert names.tools_of([call("show_order", '{"id":2}')], KNOWN) == ["show_order"]
    # Nor is one that comes later.
    names.tools_of([call("refund_orders", '{"id":1}')], KNOWN)
    names.tools_of([call("get_order", '{"id":1}')], KNOWN)
    names.tools_of([call("refund_order", '{"id":1}')], KNOWN)
    assert names.meant == {}

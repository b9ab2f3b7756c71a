"""Which orders of removal are controls of which."""

import pytest

from pipeline.config.orders import Order, Orders
from pipeline.config.roles import COLDEST, HOTTEST, RANDOM
from tests.orders import EVERY_CONTROL


@pytest.fixture
def orders():
    """Orders of a study with every control."""
    return EVERY_CONTROL


def names(orders):
    return [order.method for order in orders]


def test_the_coldest_of_a_scope_is_the_first_of_the_configuration(orders):
    assert Orders(orders).coldest("layer").method == "cold"
    assert Orders(orders[::-1]).coldest("layer").method == "cold_of_prose"
    assert Orders(orders).coldest("model").method == "cold_of_model"
    assert Orders(orders[:5]).coldest("model") is None
    assert names(Orders(orders).named(COLDEST)) == ["cold", "cold_of_prose", "cold_of_model"]
    assert names(Orders(orders).named(COLDEST, "model")) == ["cold_of_model"]


def test_draws_of_every_layer_are_matched_to_orders_of_every_layer(orders):
    chosen = Orders(orders)
    cold, of_prose = chosen.named(COLDEST, "layer")
    for order in (cold, of_prose, *chosen.named(HOTTEST, "layer")):
        assert names(chosen.matched(order)) == ["random"]
    assert names(chosen.matched(cold, "cold")) == ["among_cold"]
    # Other neurons are cold on prose.
    assert names(chosen.matched(of_prose, "cold")) == []


def test_an_order_of_the_model_is_matched_only_by_what_names_it(orders):
    chosen = Orders(orders)
    cold, hot = chosen.coldest("model"), chosen.named(HOTTEST, "model")[0]
    assert names(chosen.matched(cold)) == ["as_model"]
    assert names(chosen.matched(cold, "cold")) == ["cold_as_model"]
    # An even draw takes other numbers of each layer, so it is no control.
    assert names(chosen.matched(hot)) == []
    without = Orders([order for order in orders if order.match is None])
    assert names(without.matched(cold)) == []


def test_a_draw_that_is_matched_to_one_order_is_no_control_of_another():
    cold, prose, free = (
        Order("cold", COLDEST, "layer", "reasoning"),
        Order("prose", COLDEST, "layer", "prose"),
        Order("free", RANDOM, "layer", "reasoning"),
    )
    own = Order("own", RANDOM, "layer", "prose", match="prose")
    chosen = Orders([cold, prose, own, free])
    assert names(chosen.matched(cold)) == ["free"]
    assert names(chosen.matched(prose)) == ["own", "free"]


def test_draws_for_less_of_a_sequence_or_from_another_cold_set_are_no_control():
    cold = Order("cold", COLDEST, "layer", "reasoning", classification="coverage")
    late = Order("late", RANDOM, "layer", "reasoning", sparse_from="continuation")
    other = Order("other", RANDOM, "layer", "reasoning", None, "cold", "budget")
    same = Order("same", RANDOM, "layer", "reasoning", None, "cold", "coverage")
    chosen = Orders([cold, late, other, same])
    assert names(chosen.matched(cold)) == []
    assert names(chosen.matched(cold, "cold")) == ["same"]

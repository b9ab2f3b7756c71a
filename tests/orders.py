"""Orders of removal of an invented study."""

from typing import Any

from pipeline.config.orders import Order
from pipeline.config.roles import COLDEST, HOTTEST, RANDOM, First


def _order(
    method: str,
    order: First | None,
    scope: str = "layer",
    corpus: str = "reasoning",
    **options: Any,
) -> Order:
    return Order(method, order, scope, corpus, **options)


#: By layer, of the model, and of other text, with every control.
EVERY_CONTROL = [
    _order("cold", COLDEST),
    _order("hot", HOTTEST),
    _order("random", RANDOM),
    _order("among_cold", RANDOM, among="cold"),
    _order("small", None),
    _order("cold_of_prose", COLDEST, corpus="prose"),
    _order("cold_of_model", COLDEST, "model"),
    _order("hot_of_model", HOTTEST, "model"),
    _order("as_model", RANDOM, "model", match="cold_of_model"),
    _order("cold_as_model", RANDOM, "model", match="cold_of_model", among="cold"),
    _order("deciles", None),
]

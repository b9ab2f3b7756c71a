"""The measures of achieved sparsity, as configurations and tables name them.

`neuron_sparsity` is the share of FFN neurons skipped, `ffn_weight_sparsity` that of the FFN's
weights that need not be read, and `model_weight_sparsity` the same of all linear layers' weights.
"""

from typing import Literal, get_args

Measure = Literal["neuron_sparsity", "ffn_weight_sparsity", "model_weight_sparsity"]
MEASURES: tuple[str, ...] = get_args(Measure)
NEURONS, FFN_WEIGHTS, MODEL_WEIGHTS = MEASURES

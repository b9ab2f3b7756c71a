"""The CETT threshold of a layer (arXiv 2411.02335; science of activation sparsity).

CETT(x) = ||sum of the outputs of the neurons below eps|| / ||FFN(x)||, biases left out. A neuron is
inactive at a token when its contribution |h_i| * ||W_down[:, i]|| is at most eps.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: Halvings of the bracket; the threshold is then within 1e-9 of the largest contribution.
_BISECTIONS = 30


def fit_threshold(
    inner: "torch.Tensor", down: "torch.Tensor", target: float
) -> tuple[float, float]:
    """(eps, mean CETT at eps): the largest eps, by bisection, whose mean CETT stays within target.

    `inner` is h of the sampled tokens, (tokens, d_ff); `down` is W_down, (d_model, d_ff). CETT
    grows with eps almost everywhere (output vectors can cancel), and its mean over all sampled
    tokens is what is compared, not the mean of thresholds. Tokens whose FFN output
    is zero do not count.
    """
    contribution = inner.abs() * down.norm(dim=0)
    whole = (inner @ down.T).norm(dim=1)
    kept = whole > 0
    if not bool(kept.any()):
        return 0.0, 0.0
    inner, contribution, whole = inner[kept], contribution[kept], whole[kept]

    def mean_cett(eps: float) -> float:
        tail = inner.masked_fill(contribution > eps, 0.0) @ down.T
        return float((tail.norm(dim=1).double() / whole.double()).mean())

    low, high = 0.0, float(contribution.max())
    if mean_cett(high) <= target:
        return high, mean_cett(high)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if mean_cett(middle) <= target:
            low = middle
        else:
            high = middle
    return low, mean_cett(low)

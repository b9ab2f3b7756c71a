"""`selective`: remove neurons that matter less to the target text than to a distractor first (Siam
et al., arXiv 2604.27115): those with the smallest mean contribution on `corpus` minus that on
`distractor`."""

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from pipeline.config.base import Name, Section
from pipeline.methods.sparsifiers.static import Neurons, Ordered


class Options(Section):
    """What the target text is compared with."""

    distractor: Name = Field(description="corpus whose neurons go first")


class Selective(Ordered):
    """Least selective for the target first.

    Sample:

        sparsifier: {name: selective, distractor: prose}
        corpus: reasoning
        classification: coverage80
        levels: [0.25, 0.5]
    """

    label = "least selective first"
    reads: Mapping[str, str] = {"distractor": "profile"}
    Options = Options

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """Mean contribution on the target minus that on the distractor."""
        return neurons.mean_contribution - neurons.of_distractor

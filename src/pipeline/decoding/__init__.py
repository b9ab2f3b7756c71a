"""Models that decode through the sparse kernels."""

from pipeline.decoding.patching import Patched, patch

__all__ = ["Patched", "patch"]

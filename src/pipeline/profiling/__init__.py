"""Profiling: one pass over the calibration sequences, streaming sums, no activation stored."""

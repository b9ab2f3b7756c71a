"""Weights of fewer bits, rounded without any data."""

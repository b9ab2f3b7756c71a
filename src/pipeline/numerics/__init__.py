"""Arithmetic that several floors share, with results that are the same on every processor."""

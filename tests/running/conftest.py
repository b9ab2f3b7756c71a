"""Fixtures of planned studies."""

from tests.finished import small, stand

__all__ = ["small", "stand"]

"""The contracts between stages: one module for each kind of artifact, with its columns and
units."""

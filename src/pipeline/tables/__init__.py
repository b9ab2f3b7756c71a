"""The contracts between stages: one module a kind of artifact, with its columns and units."""

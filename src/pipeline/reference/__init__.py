"""The built-in world: a small language, task families in it, and backbones trained on it."""

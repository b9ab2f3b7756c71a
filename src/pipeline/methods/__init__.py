"""Methods: what is removed from a model, fitted once into a plan, then applied without data."""

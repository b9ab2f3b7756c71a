"""Compensations, one module each: what is added to biases to make up for what was left out."""

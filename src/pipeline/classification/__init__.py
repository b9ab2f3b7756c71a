"""Hot/cold policies: which neurons are hot, given how often each is active."""

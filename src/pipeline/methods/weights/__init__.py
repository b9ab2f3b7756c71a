"""Single weights and FFN channels: how important each one is, and which ones a share removes."""

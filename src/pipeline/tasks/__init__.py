"""Tasks that a study asks: their files, items and prompts."""

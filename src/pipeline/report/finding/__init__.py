"""The finding in words: sentences from the facts of finding.json and the tables beside it."""

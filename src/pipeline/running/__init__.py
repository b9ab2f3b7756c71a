"""How jobs run: started, locked, forked, sent to a cluster, logged. Never part of a result."""

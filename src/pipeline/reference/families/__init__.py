"""Task families of the built-in language, one module each; `registry.FAMILIES` names them.

A family turns a random generator and a size into one `Item`. Every family writes its reasoning
out, one clause a step, and ends with `# ANSWER`, so that one filter reads them all.
"""

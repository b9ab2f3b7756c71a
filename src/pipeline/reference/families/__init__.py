"""Task families of the built-in language, one module each; `registry.FAMILIES` names them.

A family turns a random generator and a size into one `Item`. A reasoning family writes its steps
out, one clause each, and ends with `# ANSWER`, so that one filter reads them all. Sorting, copying
and reciting have answers without clauses; direct forms ask for the answer alone; prose asks
nothing.
"""

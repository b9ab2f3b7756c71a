"""The typed configuration: one closed model a top-level key, one module a key.

Nothing is imported here: a stage imports the sections it is given, so that a new key elsewhere
reruns none of it.
"""

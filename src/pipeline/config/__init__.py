"""The typed configuration: one closed pydantic model and one module for each top-level key.

Nothing is imported here: a stage imports the sections it is given, so that a new key elsewhere
reruns none of it.
"""

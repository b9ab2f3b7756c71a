"""Task families of the built-in language: one module each, named in the registry below.

A family turns a random generator and a number of steps into one `Item`. Every family writes its
reasoning out, one clause a step, and ends with `# ANSWER`, so that one filter reads them all.
"""

from pipeline.registry import Registry

FAMILIES = Registry(
    "task family",
    {
        "addition": "pipeline.reference.families.addition:ADDITION",
        "boolean": "pipeline.reference.families.boolean:BOOLEAN",
        "chain": "pipeline.reference.families.chain:CHAIN",
        "copying": "pipeline.reference.families.copying:COPYING",
        "multihop": "pipeline.reference.families.multihop:MULTIHOP",
    },
)

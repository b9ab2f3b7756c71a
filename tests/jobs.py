"""A job as Snakemake hands it to a script, made by hand."""


class Named(dict):
    """Snakemake's named lists, as far as a script sees them."""


class Job:
    """A job of the rule `fit`."""

    rule = "fit"
    threads = 1

    def __init__(self, inputs=(), outputs=(), params=(), wildcards=(), log=()):
        self.input, self.output = Named(inputs), Named(outputs)
        self.params, self.wildcards = Named(params), Named(wildcards)
        self.log = list(log)
        self.config = {}

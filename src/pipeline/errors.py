"""The error that a user can act on."""


class UserError(ValueError):
    """Wrong input, told in one message: what was given, what is allowed, what to do next.

    The command line and the jobs print its text without a traceback.
    """

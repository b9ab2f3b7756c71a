"""Characters that no text holds: what UTF-8 cannot encode, and NUL."""

import re

from pipeline.errors import UserError

_NONE = re.compile("[\0\ud800-\udfff]")


def check(text: str) -> None:
    """UserError for a text with NUL, or with half of a surrogate pair: the remains of an emoji that
    was cut in two, or, where a file was read with `surrogateescape`, a byte that is not UTF-8."""
    if not (found := _NONE.search(text)):
        return
    wrong = found[0]
    if "\udc80" <= wrong <= "\udcff":
        raise UserError(
            f"a text holds {wrong!r} or the byte {ord(wrong) - 0xDC00:#x}, and neither is UTF-8; "
            "remove it, or save the file as UTF-8"
        )
    raise UserError(f"a text holds {wrong!r}, which is not a character; remove it or replace it")

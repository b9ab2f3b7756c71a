"""How long a sequence a model takes."""

from collections.abc import Mapping
from typing import Any

from pipeline.errors import UserError

#: Where configurations keep the number of positions, in the order in which they are looked for.
_KEYS = ("n_positions", "max_position_embeddings", "n_ctx")


def positions(config: Any) -> int | None:
    """Tokens that a sequence may have, by the model's configuration; None without a limit."""
    return positions_in({key: getattr(config, key, None) for key in _KEYS})


def positions_in(settings: Mapping[str, Any]) -> int | None:
    """The same, by the keys of config.json."""
    found = (settings.get(key) for key in _KEYS)
    return next((int(value) for value in found if value is not None), None)


def refuse_windows(source: str, length: int, limit: int | None) -> None:
    """UserError where a corpus' windows are longer than the model has positions."""
    if limit is not None and length > limit:
        raise UserError(
            f"calibration corpus {source!r}: sequence_length is {length}, and the model has "
            f"{limit} positions; give {limit} or less"
        )

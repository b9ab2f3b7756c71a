"""How long a call takes."""

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

#: More bytes than any GPU's cache holds.
_CACHE = 256 << 20
#: Weights up to this many bytes may stay in a processor's cache; reading as many bytes of other
#: memory evicts them.
_CACHED, _SPOILED = 1 << 20, 64 << 20
#: Number of calls whose median is taken.
_TIMES = 5


def timed(run: "Callable[[], Any]", repeat: int = 1, device: str = "cpu") -> float:
    """Seconds of one call, the mean over `repeat` calls; on a GPU by its own clock, with its cache
    overwritten before every call."""
    import torch

    with torch.inference_mode():
        if device != "cpu":
            return _timed_on_gpu(run, repeat, device)
        begin = time.perf_counter()
        for _ in range(repeat):
            run()
        return (time.perf_counter() - begin) / repeat


def seconds_from_memory(run: "Callable[[], Any]", weights: "torch.Tensor") -> float:
    """Seconds of one call, the median of a few. Large weights are not in the cache at its start,
    just as a layer's are not after the layers before it have been computed."""
    import torch

    cold = weights.device.type == "cpu" and weights.nbytes > _CACHED
    spoiler = torch.empty(_SPOILED if cold else 0, dtype=torch.int8)
    timed(run, device=str(weights.device))
    seconds = []
    for _ in range(_TIMES):
        spoiler.fill_(0)
        seconds.append(timed(run, device=str(weights.device)))
    return statistics.median(seconds)


def _timed_on_gpu(run: "Callable[[], Any]", repeat: int, device: str) -> float:
    import torch

    spoiler = torch.empty(_CACHE, dtype=torch.int8, device=device)
    marks = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeat)]
    for begin, end in marks:
        spoiler.zero_()
        begin.record()
        run()
        end.record()
    torch.cuda.synchronize()
    return sum(begin.elapsed_time(end) for begin, end in marks) / repeat / 1000

"""Which kind of machine this is, without its name."""

import contextlib
import platform


def processor() -> str:
    """The processor's model, or its kind where the system does not say."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as stream:
        for line in stream:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

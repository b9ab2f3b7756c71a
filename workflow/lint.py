"""Runs `snakemake --lint`: exit 1 on any message except the one that asks for conda or a container.

One locked environment serves all rules here, and each rule's `source` param holds the versions of
the libraries that compute; Snakemake has no switch to leave that message out.
"""

import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SNAKEFILES = ("Snakefile", "rules/reference.smk")
ACCEPTED = "Specify a conda environment or container for each rule."


def refused(report: str) -> list[str]:
    """The messages in a lint report, as `where: title`, without the accepted one."""
    where, found = "", []
    for line in report.splitlines():
        if heading := re.match(r"Lints for (.*):$", line):
            where = heading[1]
        elif (message := re.match(r" {4}\* (.*)", line)) and not message[1].startswith(ACCEPTED):
            found.append(f"{where}: {message[1].rstrip(':')}")
    return found


def lint(snakefile: str) -> list[str]:
    """Refused messages of one workflow; its whole output when it does not even parse."""
    line = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--lint"]
    done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True)
    report = done.stdout + done.stderr
    if done.returncode and "Lints for " not in report:
        return [f"{snakefile}: {report.strip()}"]
    return refused(report)


if __name__ == "__main__":
    messages = [message for snakefile in SNAKEFILES for message in lint(snakefile)]
    sys.stdout.write("".join(f"{message}\n" for message in messages))
    sys.exit(1 if messages else 0)

"""The README's commands in a fresh Debian 13: `make test-newcomer`, as root, beside the test suite.

The root has git, make, python3 and python3-venv, no wheels and no configuration of pip. One walk is
a user's, from a folder with a space in its path, without a compiler; the other is root's, with g++
and without Python's headers. Each ends with its rows compared with those that this machine makes.
What was downloaded (some 3 GB) is kept for the next walk in build/newcomer.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.rows import differences

PROJECT = Path(__file__).resolve().parents[2]
PLACE = PROJECT / "build/newcomer"
SUITE = "trixie"
PACKAGES = ("ca-certificates", "git", "make", "python3", "python3-venv")
BUNDLE = "cold-neurons.bundle"
#: Of this machine: what its network may ask of every client.
NETWORK = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class Walk:
    """Who walks, from which folder, and with which further packages."""

    user: str
    folder: str
    packages: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.user}, {self.folder}, {' and '.join(self.packages) or 'no compiler'}"


WALKS = (
    Walk("newcomer", "/home/newcomer/cold neurons"),
    Walk("root", "/root/cold-neurons", ("g++",)),
)


def main(whole: bool, user: str | None) -> int:
    """All walks, or one user's; 1 when one fails or its rows differ."""
    if os.geteuid():
        sys.exit("make test-newcomer makes a Debian root and enters it: run it as root")
    if not shutil.which("debootstrap"):
        sys.exit("debootstrap is needed; on Debian and Ubuntu: apt-get install debootstrap")
    if subprocess.run(
        ["git", "status", "--porcelain"], cwd=PROJECT, capture_output=True, check=True
    ).stdout:
        sys.exit("the walk takes the last commit: commit first, or stash")
    root = fresh_root()
    config = "config.yaml" if whole else "configs/tiny.yaml"
    own = PLACE / f"own-{Path(config).stem}"
    run([sys.executable, "-m", "pipeline", "run", "--config", config, "--directory", str(own)])
    failed = 0
    for walk in (each for each in WALKS if user in (None, each.user)):
        failed += not walked(root, walk, config, own, "test" if whole else "test-quick")
    return 1 if failed else 0


def fresh_root() -> Path:
    """A new root with the project's last commit in it; what pip downloaded before is kept."""
    root, cache = PLACE / "root", PLACE / "pip-cache"
    shutil.rmtree(root, ignore_errors=True)
    PLACE.mkdir(parents=True, exist_ok=True)
    line = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root)]
    run(line, stdout=subprocess.DEVNULL)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    shutil.copy(CERTIFICATES, root / CERTIFICATES[1:])
    run(["git", "bundle", "create", "--quiet", str(root / BUNDLE), "HEAD"], cwd=PROJECT)
    # Of root, since pip run by root takes no other's cache, and open to all.
    cache.mkdir(exist_ok=True)
    cache.chmod(0o1777)
    (root / "pip-cache").mkdir()
    enter(root, "root", "useradd --create-home --shell /bin/bash newcomer")
    return root


def walked(root: Path, walk: Walk, config: str, own: Path, tests: str) -> bool:
    """One walk, told on stdout; false where a command failed or the rows differ."""
    say(f"== {walk.name}")
    if walk.packages:
        packages = " ".join(walk.packages)
        line = f"DEBIAN_FRONTEND=noninteractive apt-get install -y -qq {packages} > /dev/null"
        enter(root, "root", f"apt-get update -qq && {line}")
    folder = shlex.quote(walk.folder)
    steps = (
        f"git clone -q -c advice.detachedHead=false /{BUNDLE} {folder}",
        f"cd {folder} && make study CONFIG={config}",
        f"cd {folder} && make {tests}",
    )
    for step in steps:
        begin = time.monotonic()
        code = enter(root, walk.user, step, check=False)
        say(f"{step}: {'ended well' if not code else f'exit {code}'}, {minutes(begin)}")
        if code:
            return False
    there = root / walk.folder[1:]
    made, done = (there / ".venv" / f for f in ("pyvenv.cfg", ".installed"))
    built = (there / "src/pipeline/kernels/cpp/libcold_kernels.so").exists()
    if built != ("g++" in walk.packages):
        say(f"the sparse C++ kernels are {'' if built else 'not '}built")
        return False
    say(f"of which installing: {(done.stat().st_mtime - made.stat().st_mtime) / 60:.1f} min")
    found = differences(own, there)
    say("\n".join(found[:20]) if found else "the rows are those of this machine")
    return not found


def enter(root: Path, user: str, command: str, check: bool = True) -> int:
    """Run a command in the root as a user, with mounts of its own that end with it."""
    mounts = (
        "mount -t proc proc proc",
        "mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts",
        "mount --bind dev/pts/ptmx dev/ptmx",
        "mount -t tmpfs -o mode=1777 tmpfs dev/shm",
        f"mount --bind {shlex.quote(str(PLACE / 'pip-cache'))} pip-cache",
    )
    variables = {name: os.environ[name] for name in NETWORK if name in os.environ} | {
        "PIP_CACHE_DIR": "/pip-cache",
        # A network's own authority is this machine's business, and no part of the walk.
        "SSL_CERT_FILE": CERTIFICATES,
        "PIP_CERT": CERTIFICATES,
        "LANG": "C.UTF-8",
    }
    given = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    inner = f"env {given} bash -c {shlex.quote(command)}"
    steps = [
        f"cd {shlex.quote(str(root))}",
        *mounts,
        f"chroot . su - {user} -c {shlex.quote(inner)}",
    ]
    # This shell, the namespace's first process, lives on: it buries what others leave behind.
    script = " && ".join(steps) + "; code=$?; exit $code"
    line = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", script]
    return run(line, check=check)


def run(line: list[str], check: bool = True, **options: object) -> int:
    """Run a command; its exit status."""
    done = subprocess.run(line, check=False, stdin=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    if check and done.returncode:
        sys.exit(f"exit {done.returncode}: {shlex.join(line)}")
    return int(done.returncode)


def minutes(begin: float) -> str:
    """Since a moment of the monotonic clock."""
    return f"{(time.monotonic() - begin) / 60:.1f} min"


def say(text: str) -> None:
    """Print a line at once, in order with what commands print."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--whole", action="store_true", help="the default study and all tests")
    parser.add_argument("--user", choices=[walk.user for walk in WALKS], help="one walk alone")
    given = parser.parse_args()
    sys.exit(main(given.whole, given.user))

"""Python processes in which packages, or parts of the system, are not there."""

import os
import subprocess
import sys

import public_api

HIDE = """
import sys
from importlib.machinery import PathFinder

class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            return None
        return super().find_spec(name, path, target)

sys.meta_path[:] = [Hiding if each is PathFinder else each for each in sys.meta_path]
"""


def run_python(
    code: str, *hidden: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs code in a process that does not find the `hidden` packages.

    Args:
        code: Str.
        *hidden: Str, names of packages at the top.
        **environment: Variables in addition to those of this process; an empty one is
            not set.
    """
    variables = os.environ | environment
    return subprocess.run(
        [sys.executable, "-c", HIDE.format(hidden=hidden) + code],
        cwd=public_api.PACKAGE.parent,
        env={name: value for name, value in variables.items() if value},
        capture_output=True,
        text=True,
        timeout=300,
    )

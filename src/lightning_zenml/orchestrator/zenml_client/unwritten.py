"""Files of the artifact store that were never closed: they keep no process from ending.

What fsspec opened for writing writes its rest when Python forgets it, by a thread that Python has stopped by then when
it forgets it in its very end: the process waits for ever, and a machine is paid for. A log that ZenML could not write
is such a file, and so is one that a step leaves open.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from typing import Any


def hold_up_no_end() -> None:
    """Lets this process end though such files are open; what is not written of them by then is lost."""
    atexit.unregister(_write_nothing_more)
    atexit.register(_write_nothing_more)


def _write_nothing_more() -> None:
    if fsspec := sys.modules.get("fsspec.asyn"):
        vars(fsspec)["sync"] = _until_python_ends(vars(fsspec)["sync"])


def _until_python_ends(sync: Callable[..., Any]) -> Callable[..., Any]:
    def wait(*args: Any, **options: Any) -> Any:
        if sys.is_finalizing():
            raise RuntimeError("a file was not closed before the program's end: what wasn't written of it is lost")
        return sync(*args, **options)

    return wait

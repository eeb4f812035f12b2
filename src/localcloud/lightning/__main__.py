"""`python -m localcloud.lightning ROOT [--port N] [--knob name=value ...]`: the stand-in as a process of its own.

Prints one line of JSON with the variables that lightning-sdk needs, then serves until SIGINT, SIGTERM, or the end of
its standard input.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import signal
import sys
from pathlib import Path

from . import Knobs, LightningCloud


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(prog="python -m localcloud.lightning")
    parser.add_argument("root", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--knob", action="append", default=[], metavar="NAME=VALUE", help="value as a Python literal")
    arguments = parser.parse_args()
    knobs = Knobs()
    for knob in arguments.knob:
        name, _, value = knob.partition("=")
        if not hasattr(knobs, name):
            parser.error(f"unknown knob {name!r}")
        setattr(knobs, name, float(value) if value in ("inf", "-inf") else ast.literal_eval(value))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    with LightningCloud(arguments.root, knobs, port=arguments.port) as cloud:
        print(json.dumps(cloud.environment), flush=True)
        while os.read(sys.stdin.fileno(), 1024):
            pass


if __name__ == "__main__":
    main()

"""A signal ends the block, even where Python drops what its handler raises."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from lightning_zenml.launch.interruption import Interruption

# A process of its own: pytest keeps what is "ignored in ...", and fails for it.
LOSES = """
import io, os, signal, sys, threading, weakref
from lightning_zenml.launch.interruption import Interruption

class Cancelled(BaseException):
    pass

def interrupt(*_):
    os.kill(os.getpid(), signal.{number})

class Thing:
    pass

class Finalized:
    def __del__(self):
        interrupt()

class Response(io.RawIOBase):
    def close(self):
        if not self.closed:
            interrupt()
        super().close()

def finalizer():
    Finalized()

def closing():
    Response()

def callback():
    thing = Thing()
    reference = weakref.ref(thing, interrupt)
    del thing

def swallowed():
    try:
        interrupt()
    except BaseException:
        pass

try:
    with Interruption(lambda number: Cancelled(number), signal.SIGINT, signal.SIGTERM):
        {loss}()
        print("lost", flush=True)
        {then}
        print("never here")
except Cancelled as cancelled:
    print("cancelled by", cancelled.args[0])
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("loss", ["finalizer", "closing", "callback", "swallowed"])
def test_one_whose_exception_is_lost_is_raised_again(loss: str, number: str) -> None:
    code = LOSES.format(loss=loss, number=number, then="threading.Event().wait(60)")
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    lines = completed.stdout.splitlines()
    assert lines == ["lost", f"cancelled by {signal.Signals[number].value}"], completed


def test_one_that_is_lost_at_the_very_end_is_raised_by_the_end() -> None:
    code = LOSES.format(loss="closing", number="SIGINT", then="print('done'); sys.stdout.flush()").replace(
        'print("never here")', "pass"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert completed.stdout.splitlines() == ["lost", "done", "cancelled by 2"], completed


def test_cleaning_up_is_interrupted_by_no_further_signal() -> None:
    cleaned = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleaned.append("all")

    with pytest.raises(RuntimeError), Interruption(RuntimeError, signal.SIGINT, signal.SIGTERM):
        work()
    assert cleaned == ["all"]


def test_the_handlers_from_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interruption(RuntimeError, signal.SIGTERM):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_ctrl_c_is_left_alone_where_it_means_something_else() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption.by_ctrl_c():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_is_a_keyboard_interrupt() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as raised, Interruption.by_ctrl_c():
            signal.raise_signal(signal.SIGINT)
        assert type(raised.value) is KeyboardInterrupt
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)

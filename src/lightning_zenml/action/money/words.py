"""US dollars in words."""

from __future__ import annotations


def dollars(amount: float) -> str:
    """An amount of US dollars: `$12.30`, `$0.0042`."""
    return f"${amount:.2f}" if amount >= 0.1 or not amount else f"${amount:.4f}"

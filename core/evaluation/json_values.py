"""Estimates as JSON values."""

from typing import Any

from core.metrics.proportions import Interval


def interval_json(interval: Interval | None, digits: int) -> dict[str, Any] | None:
    """`{value, ci: [low, high]}`, rounded; null where there is none."""
    if interval is None:
        return None
    return {"value": round(interval.value, digits), "ci": [round(interval.low, digits), round(interval.high, digits)]}

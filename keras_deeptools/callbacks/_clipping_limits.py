"""The limits of a gradient clipper, checked."""

OWNER = "GradientClipper"


def checked_limit(kind: str, limit: float | None) -> float | None:
    """The limit as a float > 0, or None."""
    if limit is None:
        return None
    rule = (
        f"{OWNER}: `{kind}` must be a number > 0 or None. Received: {kind}={limit!r}. "
        'float("inf") keeps it off but ready to be set.'
    )
    if isinstance(limit, bool) or not isinstance(limit, (int, float)):
        raise TypeError(rule)
    if not limit > 0:
        raise ValueError(rule)
    return float(limit)


def require_one(limits: dict[str, float | None]) -> None:
    """Raises if no limit is on."""
    if all(limit is None for limit in limits.values()):
        raise ValueError(
            f"{OWNER}: `norm`, `global_norm` or `value` must be a number. "
            "Received: None for all three. A common choice is global_norm=1.0."
        )

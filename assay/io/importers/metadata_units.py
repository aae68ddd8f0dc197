"""The ways in which image files spell micrometres and minutes."""

import math

_UM = {
    "um": 1.0, "µm": 1.0, "μm": 1.0, "\\u00b5m": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
    "micrometers": 1.0, "micrometre": 1.0, "micrometres": 1.0, "nm": 1e-3, "nanometer": 1e-3, "nanometers": 1e-3,
    "mm": 1e3, "millimeter": 1e3, "millimeters": 1e3, "cm": 1e4, "m": 1e6, "å": 1e-4, "pm": 1e-6,
    "inch": 25400.0, "in": 25400.0,
}  # fmt: skip
_MIN = {
    "s": 1 / 60, "sec": 1 / 60, "secs": 1 / 60, "second": 1 / 60, "seconds": 1 / 60, "ms": 1 / 60e3,
    "msec": 1 / 60e3, "millisecond": 1 / 60e3, "milliseconds": 1 / 60e3, "µs": 1 / 60e6, "μs": 1 / 60e6,
    "us": 1 / 60e6, "ns": 1 / 60e9, "min": 1.0, "mins": 1.0, "minute": 1.0, "minutes": 1.0, "h": 60.0, "hr": 60.0,
    "hrs": 60.0, "hour": 60.0, "hours": 60.0, "d": 1440.0, "day": 1440.0, "days": 1440.0,
}  # fmt: skip


def length_um(value: float | str | None, unit: str) -> float | None:
    """A length in um; None where the unit is no length ("pixel") or the value is no positive number."""
    return _scaled(value, _UM.get(unit.strip().strip("\0").lower()))


def time_min(value: float | str | None, unit: str) -> float | None:
    """A time in minutes; None where the unit is not known or the value is no positive number."""
    return _scaled(value, _MIN.get(unit.strip().strip("\0").lower()))


def _scaled(value: float | str | None, factor: float | None) -> float | None:
    try:
        number = float(value) if value is not None else math.nan
    except ValueError:
        return None
    if factor is None or not math.isfinite(number) or number <= 0:
        return None
    # 15 significant digits: 600 s is 10 min, not 10.000000000000002
    return float(f"{number * factor:.15g}")

"""The Python core of Fivefold: one road from bytes to a ScreeningResult (see core/screening.py)."""

__version__ = "0.1.0"

"""Rules of clinical practice that no network takes part in: pure functions of numbers a person types in."""

"""A table of scores to try and to copy: drawn at random, nobody's."""

import numpy as np
import pandas as pd

SEED = 20261129
_PREVALENCE = 0.25
# Patients a clinic: the last has too few to tell anything, and the page says so.
_CLINICS = {"clinic A": 180, "clinic B": 130, "clinic C": 30}
# How far the classes lie apart in standard deviations, and by what the true log-odds are stretched: 1 = well calibrated.
_MODELS = {"model 1": (2.0, 1.0), "model 2": (1.4, 1.8)}


def example_scores() -> bytes:
    """A CSV table with all columns: two models, each with one row a patient, the same bytes every time."""
    rng = np.random.default_rng(SEED)
    clinic = np.repeat(list(_CLINICS), list(_CLINICS.values()))
    n = clinic.size
    label = (rng.random(n) < _PREVALENCE).astype(int)
    patient = [f"P{k:03d}" for k in range(1, n + 1)]
    tables = []
    for model, (apart, stretched) in _MODELS.items():
        marker = rng.normal(label * apart, 1)
        log_odds = np.log(_PREVALENCE / (1 - _PREVALENCE)) + apart * marker - apart**2 / 2
        score = 1 / (1 + np.exp(-stretched * log_odds))
        columns = {"patient": patient, "label": label, "score": score, "group": clinic, "model": model}
        tables.append(pd.DataFrame(columns))
    text = pd.concat(tables).to_csv(index=False, float_format="%.4f", lineterminator="\n")
    return text.encode()

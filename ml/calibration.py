"""Logits to probabilities that mean what they say."""

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from ml.metrics import calibration_error
from ml.release import Calibration

KNOTS = 50
PLATT_SHARE = 0.1
"""Isotonic regression alone has plateaus, on which different logits would tie."""
FAR = 12.0
"""Logits beyond those seen still differ for this long."""


def fit_calibration(logits: NDArray[np.float32], label: NDArray[np.float32]) -> Calibration:
    """Mostly isotonic regression (Zadrozny & Elkan 2002), a little Platt: strictly ascending.

    Both (n,), of rows that the ranker has not learned from; both classes must be there.
    """
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(logits, label)
    platt = LogisticRegression().fit(logits[:, None], label > 0.5)
    inner = np.quantile(logits, np.linspace(0, 1, KNOTS)).astype(np.float64)
    knots = np.unique(np.concatenate([[inner[0] - FAR], inner, [inner[-1] + FAR]]))
    smooth = platt.predict_proba(knots[:, None])[:, 1]
    mixed = (1 - PLATT_SHARE) * isotonic.predict(knots) + PLATT_SHARE * smooth
    return Calibration(logits=knots.tolist(), probabilities=mixed.tolist())


def probabilities(calibration: Calibration, logits: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.interp(logits, calibration.logits, calibration.probabilities)


def honest_error(
    logits: NDArray[np.float32], label: NDArray[np.float32], group: NDArray[np.integer]
) -> float:
    """Expected calibration error where each half of the groups is calibrated by the other."""
    even = group % 2 == 0
    calibrated = np.empty(len(logits))
    for half in (even, ~even):
        if not 0 < label[~half].sum() < (~half).sum():
            return float("nan")
        calibration = fit_calibration(logits[~half], label[~half])
        calibrated[half] = probabilities(calibration, logits[half])
    return calibration_error(label, calibrated)

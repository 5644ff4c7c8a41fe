"""Losses as functions of the shares of the pools: Gaussian processes on log shares, one per capability."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mm_assets.mixtures.ablation.drawing import random_numbers

_SHIFT: Final = 0.01  # shares below a percent differ little: that many samples are hardly any
_FORMS: Final = ("linear", "quadratic", "smooth")
TINY: Final = 1e-9


def features_of(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred logarithms of shares.

    Losses fall with the logarithm of the samples seen, so that a share counts by its logarithm.

    Args:
        weights: shares, shape (N, K).

    Returns:
        float64, shape (N, K).
    """
    return np.log(weights + _SHIFT) - np.log(1.0 / weights.shape[1] + _SHIFT)


@dataclass(frozen=True)
class LossModel:
    """The fitted loss of one capability.

    Attributes:
        form: ``linear``, ``quadratic`` or ``smooth`` in the log shares, the one that left-out runs were predicted best
            by.
        left_out_error: root mean square error of the log loss of a design run by all others.
        noise: standard deviation of the log loss between runs of one mixture, as fitted.
        widening: factor on every standard deviation, at least 1: what the runs strayed beyond theirs, each predicted
            by a fit without it. Few runs leave a fitted noise too small, and a run that the fit has seen hides it.
        centre: log loss that was taken off.
        scale: by which the rest was divided.
        process: the fitted scikit-learn regressor.
    """

    form: str
    left_out_error: float
    noise: float
    widening: float
    centre: float
    scale: float
    process: Any

    def predict(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log loss that a run of each mixture is expected to have.

        Args:
            weights: shares, shape (N, K).

        Returns:
            Mean and standard deviation of a single run, noise included, shape (N,) each.
        """
        mean, deviation = self.process.predict(features_of(weights), return_std=True)
        return mean * self.scale + self.centre, deviation * self.scale * self.widening

    def interval(
        self, weights: NDArray[np.float64], confidence: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Loss that a run of each mixture is expected to have, and its interval, shape (N,) each.

        Student's quantiles, for the noise is fitted too; a linear and a bent share of each pool are taken off the runs.
        """
        from scipy.special import stdtrit  # noqa: PLC0415 - import time of the graph

        mean, deviation = self.predict(weights)
        runs, pools = self.process.X_train_.shape
        reach = float(stdtrit(max(runs - 2 * pools, 1), (1.0 + confidence) / 2.0)) * deviation
        return np.exp(mean), np.exp(mean - reach), np.exp(mean + reach)

    def sample(self, weights: NDArray[np.float64], count: int, seed: int, purpose: str) -> NDArray[np.float64]:
        """Log losses as they may be on average over runs, drawn from the posterior.

        Args:
            weights: shares, shape (N, K).
            count: D draws.
            seed: of the draws.
            purpose: of the draws; draws for different purposes are independent.

        Returns:
            float64, shape (D, N).
        """
        mean, covariance = self.process.predict(features_of(weights), return_cov=True)
        noise = (self.noise / self.scale) ** 2
        own = covariance - noise * np.eye(len(mean))
        values, vectors = np.linalg.eigh((own + own.T) / 2.0)
        root = vectors * np.sqrt(np.maximum(values, 0.0)) * self.widening
        normal = random_numbers(seed, "posterior", purpose).standard_normal((count, len(mean)))
        return (mean + normal @ root.T) * self.scale + self.centre


def fit_loss(weights: NDArray[np.float64], losses: NDArray[np.float64]) -> LossModel:
    """Fit the loss of one capability.

    Args:
        weights: shares of the design runs, shape (N, K).
        losses: loss of each, positive, shape (N,).
    """
    logs = np.log(np.maximum(losses, TINY))
    centre, scale = float(logs.mean()), float(max(logs.std(), TINY))
    x, y = features_of(weights), (logs - centre) / scale
    fitted = {form: _fit(form, x, y) for form in _FORMS}
    errors = {form: float(np.sqrt(np.mean(_left_out(process, x, y) ** 2))) for form, process in fitted.items()}
    form = min(_FORMS, key=lambda name: (round(errors[name], 6), _FORMS.index(name)))
    widening = max(1.0, float(np.sqrt(np.mean(_strayed(fitted[form], x, y) ** 2))))
    noise = float(np.sqrt(fitted[form].kernel_.k2.noise_level)) * scale
    return LossModel(form, errors[form] * scale, noise, widening, centre, scale, fitted[form])


def fit_losses(weights: NDArray[np.float64], losses: Mapping[str, NDArray[np.float64]]) -> dict[str, LossModel]:
    """Fit every capability; see `fit_loss`."""
    return {name: fit_loss(weights, values) for name, values in losses.items()}


def _fit(form: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> Any:  # noqa: ANN401 - scikit-learn is untyped
    from sklearn.gaussian_process.kernels import (  # noqa: PLC0415 - as above
        RBF,
        ConstantKernel,
        DotProduct,
        WhiteKernel,
    )

    linear = ConstantKernel(1.0, (1e-4, 1e3)) * DotProduct(1.0, (1e-2, 1e2))
    if form == "quadratic":
        body = ConstantKernel(1.0, (1e-5, 1e3)) * DotProduct(1.0, (1e-2, 1e2)) ** 2
    elif form == "smooth":
        body = linear + ConstantKernel(1.0, (1e-4, 1e3)) * RBF([2.0] * x.shape[1], (0.3, 50.0))  # pyright: ignore[reportArgumentType] - or one per column
    else:
        body = linear
    return _optimize(body + WhiteKernel(0.05, (1e-4, 1.0)), x, y)


def _optimize(kernel: Any, x: NDArray[np.float64], y: NDArray[np.float64]) -> Any:  # noqa: ANN401 - scikit-learn is untyped
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - a second of the graph's import time
    from sklearn.gaussian_process import GaussianProcessRegressor  # noqa: PLC0415 - as above

    process = GaussianProcessRegressor(kernel, normalize_y=False, n_restarts_optimizer=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a bound that is reached is a length we chose not to trust
        return process.fit(x, y)


def _left_out(process: Any, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:  # noqa: ANN401 - untyped
    """Error of each run by all others, without fitting again.

    Source: Rasmussen and Williams 2006, equations 5.10 to 5.12.
    """
    inverse = np.linalg.inv(process.kernel_(x))
    return (inverse @ y) / np.diag(inverse)


def _strayed(process: Any, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:  # noqa: ANN401 - untyped
    """Error of each run in standard deviations, by a process that is fitted again to all others.

    Lengths and noise are found anew without the run: those found with it know it already.
    """
    strayed = np.empty(len(x))
    for run in range(len(x)):
        others = np.arange(len(x)) != run
        mean, deviation = _optimize(process.kernel_, x[others], y[others]).predict(x[[run]], return_std=True)
        strayed[run] = (y[run] - mean[0]) / deviation[0]
    return strayed


def rank_correlation(predicted: Sequence[float], measured: Sequence[float]) -> float:
    """Spearman's coefficient; 0 where either does not vary.

    >>> rank_correlation([1.0, 2.0, 4.0], [1.0, 3.0, 9.0])
    1.0
    """
    from scipy.stats import rankdata  # noqa: PLC0415 - import time of the graph

    ranks = [rankdata(values) for values in (predicted, measured)]
    if min(np.ptp(values) for values in ranks) == 0:
        return 0.0
    return round(float(np.corrcoef(ranks[0], ranks[1])[0, 1]), 12)

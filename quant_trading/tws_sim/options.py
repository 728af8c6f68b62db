"""Option prices by Black and Scholes, their sensitivities, and the volatility behind a price.

Arithmetic on arrays with an error function of our own (Abramowitz and Stegun 7.1.26, error below 1.5e-7), so that the
same bits come out on every machine; American exercise and dividends are left out (assumed).
"""

from dataclasses import dataclass

import numpy as np

from quant_trading.tws_sim.tape import FloatArray

__all__ = ["RATE", "Greeks", "greeks", "implied_volatility", "option_price"]

RATE = 0.04
_SMALLEST_YEARS = 1e-6


@dataclass(frozen=True, slots=True)
class Greeks:
    """Price and sensitivities of one option: vega for one point of volatility, theta for a day, as TWS has them."""

    price: float
    delta: float
    gamma: float
    vega: float
    theta: float


def _normal_cdf(x: FloatArray) -> FloatArray:
    z = np.abs(x) / np.sqrt(2.0)
    t = 1.0 / (1.0 + 0.3275911 * z)
    polynomial = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    tail = 0.5 * polynomial * np.exp(-z * z)
    return np.asarray(np.where(x >= 0, 1.0 - tail, tail))


def _normal_pdf(x: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi))


def _d1(spot: FloatArray, strike: float, years: FloatArray, volatility: float) -> tuple[FloatArray, FloatArray]:
    deviation = volatility * np.sqrt(np.maximum(years, _SMALLEST_YEARS))
    d1 = (np.log(spot / strike) + (RATE + 0.5 * volatility**2) * years) / deviation
    return d1, d1 - deviation


def option_price(spot: FloatArray, strike: float, years: FloatArray, volatility: float, *, is_call: bool) -> FloatArray:
    """Return the value of an option for each spot price, float64[T], rising (calls) or falling (puts) with it.

    Args:
        years: float64[T], time to expiry; 0 leaves the intrinsic value.
        volatility: yearly, 0.2 = 20 %.
    """
    d1, d2 = _d1(spot, strike, years, volatility)
    discounted = strike * np.exp(-RATE * years)
    call = spot * _normal_cdf(d1) - discounted * _normal_cdf(d2)
    # The polynomial's error must not take a price below what exercise gives.
    call = np.maximum(call, np.maximum(spot - discounted, 0.0))
    return call if is_call else np.maximum(call - spot + discounted, 0.0)


def greeks(spot: float, strike: float, years: float, volatility: float, *, is_call: bool) -> Greeks:
    """Return the price of one option and how it moves."""
    at, left = np.array([spot]), np.array([max(years, _SMALLEST_YEARS)])
    d1, d2 = _d1(at, strike, left, volatility)
    price = float(option_price(at, strike, left, volatility, is_call=is_call)[0])
    density, root = float(_normal_pdf(d1)[0]), float(np.sqrt(left[0]))
    delta = float(_normal_cdf(d1)[0]) - (0.0 if is_call else 1.0)
    discounted = strike * float(np.exp(-RATE * left[0]))
    drift = RATE * discounted * (float(_normal_cdf(d2)[0]) if is_call else -float(_normal_cdf(-d2)[0]))
    theta = -(spot * density * volatility / (2.0 * root) + drift) / 365.0
    return Greeks(price, delta, density / (spot * volatility * root), spot * density * root / 100.0, theta)


def implied_volatility(price: float, spot: float, strike: float, years: float, *, is_call: bool) -> float | None:
    """Return the volatility at which an option has this price, None when no volatility from 0.1 % to 500 % does."""
    at, left = np.array([spot]), np.array([max(years, _SMALLEST_YEARS)])
    low, high = 0.001, 5.0

    def value(volatility: float) -> float:
        return float(option_price(at, strike, left, volatility, is_call=is_call)[0])

    if not value(low) - 1e-6 <= price <= value(high):
        return None
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) < price else (low, middle)
    return (low + high) / 2

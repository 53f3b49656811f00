"""The optimizers as their authors write them, in numpy and double precision.

Each is a function of an initial weight, a function `gradient(weight, update)`, a number
of updates, a rate and a (decoupled) weight decay, and returns the last weight.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Gradient = Callable[[np.ndarray, int], np.ndarray]


def rectified_adam(
    w: Any, gradient: Gradient, num: int, rate: float, decay: float
) -> Any:
    """Liu et al., 2020, algorithm 2, with epsilon as in their repository."""
    m, v, b1, b2 = 0 * w, 0 * w, 0.9, 0.999
    longest = 2 / (1 - b2) - 1
    for t in range(1, num + 1):
        g = gradient(w, t - 1)
        w = w - rate * decay * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        length = longest - 2 * t * b2**t / (1 - b2**t)
        if length >= 5:
            r = (length - 4) * (length - 2) * longest
            r = np.sqrt(r / ((longest - 4) * (longest - 2) * length))
            r *= np.sqrt(1 - b2**t) / (np.sqrt(v) + 1e-8)
        else:
            r = 1.0
        w = w - rate * r * m / (1 - b1**t)
    return w


def adabelief(w: Any, gradient: Gradient, num: int, rate: float, decay: float) -> Any:
    """Zhuang et al., 2020, algorithm 2."""
    m, s, b1, b2, eps = 0 * w, 0 * w, 0.9, 0.999, 1e-16
    for t in range(1, num + 1):
        g = gradient(w, t - 1)
        w = w - rate * decay * w
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * (g - m) ** 2 + eps
        w = w - rate * (m / (1 - b1**t)) / (np.sqrt(s / (1 - b2**t)) + eps)
    return w


def adan(w: Any, gradient: Gradient, num: int, rate: float, decay: float) -> Any:
    """Xie et al., 2022, algorithm 1, in the paper's betas."""
    b1, b2, b3 = 0.02, 0.08, 0.01
    m, v, n, before = 0 * w, 0 * w, 0 * w, None
    for t in range(1, num + 1):
        g = gradient(w, t - 1)
        w = w - rate * decay * w
        difference = 0 * w if before is None else g - before
        m = (1 - b1) * m + b1 * g
        v = (1 - b2) * v + b2 * difference
        n = (1 - b3) * n + b3 * (g + (1 - b2) * difference) ** 2
        step = m / (1 - (1 - b1) ** t) + (1 - b2) * v / (1 - (1 - b2) ** t)
        w = w - rate * step / (np.sqrt(n / (1 - (1 - b3) ** t)) + 1e-8)
        before = g
    return w


def adopt(w: Any, gradient: Gradient, num: int, rate: float, decay: float) -> Any:
    """Taniguchi et al., 2024, algorithm 2; weights decay in the first update too."""
    m, b1, b2 = 0 * w, 0.9, 0.9999
    v = gradient(w, 0) ** 2
    w = w - rate * decay * w
    for t in range(1, num):
        g = gradient(w, t)
        w = w - rate * decay * w
        step = np.clip(g / np.maximum(np.sqrt(v), 1e-6), -(t**0.25), t**0.25)
        m = b1 * m + (1 - b1) * step
        w = w - rate * m
        v = b2 * v + (1 - b2) * g**2
    return w


def ademamix(w: Any, gradient: Gradient, num: int, rate: float, decay: float) -> Any:
    """Pagliardini et al., 2024, algorithm 1, with both schedulers over 80 updates."""
    m1, m2, v = 0 * w, 0 * w, 0 * w
    b1, b2, b3, alpha, warmup = 0.9, 0.999, 0.9999, 5.0, 80
    for t in range(1, num + 1):
        g = gradient(w, t - 1)
        w = w - rate * decay * w
        part = t / warmup
        now = np.log(b1) * np.log(b3)
        now /= (1 - part) * np.log(b3) + part * np.log(b1)
        slow = min(np.exp(now), b3)
        m1, m2 = b1 * m1 + (1 - b1) * g, slow * m2 + (1 - slow) * g
        v = b2 * v + (1 - b2) * g**2
        step = m1 / (1 - b1**t) + min(part * alpha, alpha) * m2
        w = w - rate * step / (np.sqrt(v / (1 - b2**t)) + 1e-8)
    return w


def prodigy(w: Any, gradient: Gradient, num: int, rate: float, decay: float) -> Any:
    """Mishchenko & Defazio, 2023, algorithm 4, at a rate of 1 and from 0.1 on."""
    start, m, v, s = w, 0 * w, 0 * w, 0 * w
    b1, b2, b3, d, r = 0.9, 0.999, 0.999**0.5, 0.1, 0.0
    for t in range(num):
        g = gradient(w, t)
        r = b3 * r + d**2 / 0.1 * (g @ (start - w))
        m, v = b1 * m + (1 - b1) * d * g, b2 * v + (1 - b2) * (d * g) ** 2
        s = b3 * s + d**2 / 0.1 * g
        w = w - d * decay * w
        new = max(d, r / np.abs(s).sum())
        w = w - d * m / (np.sqrt(v) + new * 1e-8)
        d = new
    return w


def lookahead(w: Any, gradient: Gradient, num: int, rate: float, decay: float) -> Any:
    """Zhang et al., 2019, algorithm 1, around SGD with momentum."""
    slow, velocity = w, 0 * w
    for t in range(1, num + 1):
        g = gradient(w, t - 1)
        w = w - rate * decay * w
        velocity = 0.9 * velocity - rate * g
        w = w + velocity
        if t % 6 == 0:
            slow = w = slow + 0.5 * (w - slow)
    return w


def soap(w: Any, gradient: Gradient, num: int, rate: float, decay: float) -> Any:
    """Vyas et al., 2024, algorithm 3, for a 4 x 4 matrix.

    As in their repository, the first update only measures, and eigenvectors follow
    every ten updates.
    """
    w = w.reshape(4, 4)
    left, right = np.zeros((2, 4, 4))
    m, v, b, rows, columns = 0 * w, 0 * w, 0.95, None, None
    for t in range(num):
        g = gradient(w.ravel(), t).reshape(4, 4)
        w = w - rate * decay * w
        if t:
            m = b * m + (1 - b) * g
            v = b * v + (1 - b) * (rows.T @ g @ columns) ** 2
            step = rows @ (rows.T @ m @ columns / (np.sqrt(v) + 1e-8)) @ columns.T
            w = w - rate * np.sqrt(1 - b**t) / (1 - b**t) * step
        left = b * left + (1 - b) * g @ g.T
        right = b * right + (1 - b) * g.T @ g
        if rows is None:
            rows, columns = (np.linalg.eigh(f)[1][:, ::-1] for f in (left, right))
        elif t % 10 == 0:
            order = np.argsort(-np.sum(rows * (left @ rows), axis=0))
            rows, v = np.linalg.qr((left @ rows)[:, order])[0], v[order]
            order = np.argsort(-np.sum(columns * (right @ columns), axis=0))
            columns, v = np.linalg.qr((right @ columns)[:, order])[0], v[:, order]
    return w.ravel()

"""dx as lecture notes, blogs and TensorFlow's CPU kernel have it: var + eps appears beside r, or a power of it does."""

from __future__ import annotations

from tests.targets.honest.adding import Array
from tests.targets.honest.gradients import Saved


def computational_graph(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """Stanford's CS231n, a node a line: the gradients of xh = (x - mean) (1/std) and of std."""
    T, divide = s.x.dtype.type, s.roots.divide
    d, dxh, per_value = s.d, dy * s.gamma, divide(T(1), s.n)
    d_inverse = s.add(dxh * d)
    d_std = divide(T(-1), s.std * s.std) * d_inverse
    root = s.root_of_var if s.outside else s.std
    through_var = T(2) * d * (per_value * (divide(T(0.5), root) * d_std))
    centred = dxh * divide(T(1), s.std) + through_var
    return centred + per_value * -s.add(centred)


def simplified(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """The same simplified: (1/n) gamma r (n dy - sum(dy) - (x - mean) (1/(var + eps)) sum(dy (x - mean)))."""
    T, divide, d = s.x.dtype.type, s.roots.divide, s.d
    through_var = d * divide(T(1), s.square) * (s.slope * s.add(dy * d))
    return divide(T(1), s.n) * s.gamma * s.r * (s.n * dy - s.add(dy) - through_var)


def as_tensorflow(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """TensorFlow on a CPU: gamma r (dy - mean(dy) - (x - mean) mean(dy (x - mean))/(var + eps))."""
    divide, d = s.roots.divide, s.d
    along = divide(divide(s.add(dy * d), s.n), s.square) * s.slope
    return (s.r * s.gamma) * ((dy - divide(s.add(dy), s.n)) - d * along)


def as_caffe2(s: Saved, dy: Array, dgamma: Array) -> Array:  # noqa: ARG001
    """a dy + b x + c, of sums about zero."""
    T, divide = s.x.dtype.type, s.roots.divide
    a, per_value, total = s.gamma * s.r, divide(T(1), s.n), s.add(dy)
    along = s.slope * (s.r * (s.add(dy * s.x) - s.mean * total)) * per_value
    return a * dy + -(a * s.r * along) * s.x + a * (s.mean * s.r * along - total * per_value)

"""A central difference: by the width of its own channel, and in the type that is asked for throughout."""

import numpy as np

from harness.judge import explain
from harness.judge.expected import Expected
from harness.judge.explain import central_difference, resolution
from harness.judge.prepare import PreparedCase
from tests.small_evidence import case


def test_the_width_is_in_standard_deviations_of_the_channel():
    """Channels whose scales differ by 10^6 are checked as well as those that are alike."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 12, 2))
    alike, apart = (central_difference(x * scales, dy, 0.0, np.dtype(np.float64), 1e-4).off for scales in
                    (np.array([1.0, 1.0]), np.array([1e-3, 1e3])))  # fmt: skip
    assert alike < 1e-6
    assert apart < 1e-2


def test_everything_but_the_exact_gradient_is_in_the_type(monkeypatch):
    types = []

    class Recorded(explain.BatchNorm):
        def __init__(self, *given):
            super().__init__(*given)
            types.append(self.gamma.dtype)

    monkeypatch.setattr(explain, "BatchNorm", Recorded)
    rng = np.random.default_rng(0)
    central_difference(*rng.normal(size=(2, 4, 2)), 1e-5, np.dtype(np.float32), 1e-2)
    assert types == [np.float32, np.longdouble]


def test_what_has_no_bound_has_no_resolution(monkeypatch):
    made = case(script=("train",), dtypes=("float32",))
    script = made.make("float32", 0, 0.9)
    expected = Expected({"y": np.ones((4, 3)), "dx": np.ones((4, 3))}, {"y": np.full((4, 3), 1e-3)})
    monkeypatch.setattr(explain, "prepare", lambda *_: PreparedCase(script, [expected]))
    assert list(resolution(made, 0)) == ["float32: y 0.001"]

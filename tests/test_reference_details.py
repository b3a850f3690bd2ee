"""Details of the reference that no comparison of whole layers shows."""

import numpy as np
import pytest

from reference.conventions import D2L
from reference.lenet import initial_weights
from reference.option_batch_norm import BatchNormWithOptions
from reference.quantity import Arithmetic, Quantity


@pytest.mark.parametrize("layer", ["conv1", "conv2", "dense1", "dense2", "dense3"])
def test_initial_biases_and_weights_have_both_signs(layer):
    weights = initial_weights(0)
    for name in (f"{layer}.weight", f"{layer}.bias"):
        assert weights[name].min() < 0 < weights[name].max()
        assert len(np.unique(weights[name])) == weights[name].size


def test_a_nan_where_the_mask_counts_nothing_reaches_no_gradient():
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 5, 3))
    mask = np.array([True, True, False, True, True])
    x[2] = np.nan
    dy[2] = 0.0
    layer, of_counted = (BatchNormWithOptions(3, 1e-5, 0.9, D2L, np.float64) for _ in range(2))
    dx, dgamma, dbeta = layer.masked_train_backward(dy, layer.masked_train(x, mask)[1])
    dx_of_counted, *gradients = of_counted.train_backward(dy[mask], of_counted.train(x[mask])[1])
    assert dgamma == pytest.approx(gradients[0])
    assert dbeta == pytest.approx(gradients[1])
    assert dx[mask] == pytest.approx(dx_of_counted)


def test_dividing_by_a_power_of_two_is_exact_for_declared_sums_alone():
    value = np.array([3.0, 5.0])
    rest = {}
    for summation in ("any", "pairwise"):
        arithmetic = Arithmetic(2.0**-24, 2.0**-126, summation=summation)
        for n in (4, 6):
            divided = Quantity(value, arithmetic).over(n)
            assert divided.value == pytest.approx(value / n)
            rest[summation, n] = np.broadcast_to(divided.radius, value.shape)
    assert (rest["pairwise", 4] == 0).all()
    for key in (("any", 4), ("any", 6), ("pairwise", 6)):
        assert (rest[key] > 0).all(), key

"""How the cost of a layer grows: which records belong to a sweep, the slope, and the figure."""

import pytest

from harness.bench.figures import spread
from harness.bench.growth import CHANNELS, EXAMPLES, SHAPES, SWEEPS, curves, is_sweep, slope
from harness.bench.results import Decision, LayerThroughput


def record(shape, seconds):
    even = spread([1.0])
    return LayerThroughput(
        name="torch",
        layout="channels first",
        shape=shape,
        against="native",
        seconds=seconds,
        native_seconds=2 * seconds,
        bytes_per_second=1e9,
        ratio=even,
        control=even,
        decision=Decision.INCONCLUSIVE,
        rounds=1,
        device="cpu",
        small_seconds=3 * seconds,
    )


def test_the_sweeps_grow_along_one_axis():
    assert is_sweep(SHAPES)
    assert not is_sweep(SHAPES[1:])
    for axis, grows in enumerate((EXAMPLES, CHANNELS)):
        sizes = [shape[axis] for shape in SWEEPS[grows]]
        assert sizes == sorted(set(sizes))
        assert len({shape[:axis] + shape[axis + 1 :] for shape in SWEEPS[grows]}) == 1


def test_curves_take_the_shapes_of_their_sweep_in_order():
    records = [record(shape, shape[0] * 1e-6 + shape[1] ** 2 * 1e-9) for shape in reversed(SHAPES)]
    sizes, seconds = curves(records, CHANNELS)["native"]
    assert sizes == [shape[1] for shape in SWEEPS[CHANNELS]]
    assert seconds == [2 * (16e-6 + size**2 * 1e-9) for size in sizes]
    assert set(curves(records, EXAMPLES)) == {"ours", "native", "small operations"}


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_the_slope_is_that_of_the_larger_half(exponent):
    sizes = [1, 4, 16, 64, 256]
    assert slope((sizes, [9.0, 9.0, *(size**exponent for size in sizes[2:])])) == pytest.approx(exponent)


def test_the_figure_says_the_slopes(tmp_path):
    from harness.cli.plot_growth import plot_growth

    plot_growth([record(shape, 1e-6 * shape[0] * shape[1]) for shape in SHAPES], tmp_path / "growth.svg")
    assert (tmp_path / "growth.svg").read_text().count("slope 1.00") == 6

"""A JAX layer's programs are compiled once for each shape, not once for each layer that is made."""

from pathlib import Path

import jax
import numpy as np
import pytest

from harness.cases.catalogue import BY_ID
from harness.cases.script import Script
from harness.targets.load import load
from harness.targets.play import play
from reference.conventions import conventions_from

pytest.importorskip("flax")

LAYERS = Path(__file__).parent / "targets" / "layers_jax.py"
LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"


@pytest.fixture
def lowered():
    """The programs that were lowered since: JAX's word for what comes before they are compiled."""
    programs = []

    def listen(event, _, **about):
        if event == LOWERED:
            programs.append(about)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield programs
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("case", ["double_rank2", "jvp_rank2"])
@pytest.mark.parametrize("name", ["jax", "flax", "flax-nnx", "flax-linen"])
def test_derivatives_of_a_layer_that_is_made_anew_need_no_new_program(name, case, lowered):
    factory = load(name)
    conventions = conventions_from(factory.conventions)
    script = BY_ID[case].make("float32", 0, conventions.momentum_for(BY_ID[case].new_weight))
    first = play(factory, script, conventions.channel_axis)
    assert lowered
    lowered.clear()
    assert play(factory, script, conventions.channel_axis).same_as(first)
    assert lowered == []


@pytest.mark.parametrize(
    ("name", "programs"),
    [(f"{LAYERS}:compiled", 1), (f"{LAYERS}:compiled_for_numbers", 2), ("jax", 1), ("flax", 1)],
)
def test_a_step_is_one_program_unless_numbers_are_constants_of_the_function(name, programs, lowered):
    factory = load(name)
    axis = 1 if ":" not in name else -1
    script = BY_ID["rank4"].make("float64", 0, 0.875)
    setup, step = script.setups[0], next(step for step in script.steps if step.op == "train")
    play(factory, Script((setup,), (step,)), axis)
    assert len(lowered) == programs


@pytest.mark.parametrize("name", ["compiled", "compiled_for_numbers"])
def test_what_a_compiled_function_raises_is_raised(name):
    factory = load(f"{LAYERS}:{name}")
    setup = BY_ID["rank4"].make("float64", 0, 0.875).setups[0]
    x = np.zeros((2, setup.num_features + 1))
    with pytest.raises(TypeError, match="incompatible shapes"):
        factory(setup).train(x, x)


@pytest.mark.parametrize("case", ["rank4", "double_rank2", "jvp_rank2"])
def test_a_function_gives_compiled_what_it_gives_else(case):
    given = []
    for name in ("batch_norm", "compiled", "compiled_for_numbers"):
        script = BY_ID[case].make("float64", 0, 0.875)
        given.append([step.values for step in play(load(f"{LAYERS}:{name}"), script, -1).steps])
    for others in given[1:]:
        for values, other in zip(given[0], others, strict=True):
            assert values.keys() == other.keys()
            assert all(np.allclose(values[name], other[name], rtol=1e-12, atol=1e-12) for name in values)

"""A JAX layer's programs are compiled once for each shape, not once for each layer that is made."""

import jax
import pytest

from harness.cases.catalogue import BY_ID
from harness.targets.load import load
from harness.targets.play import play
from reference.conventions import conventions_from

pytest.importorskip("flax")

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

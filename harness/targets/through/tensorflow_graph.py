"""A graph of TensorFlow after its optimizer, Grappler, which folds and fuses what it finds constant."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.grappler import tf_optimizer


def optimized(function: Any, shape: Any, x: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """(y, the operators that Grappler has left) of a tf.function of one tensor, of that shape.

    Its variables are made constants, as for deployment. What is left is run as it stands. Raises NotImplementedError
    where a part of it is a function compiled by XLA, which Grappler does not look into.
    """
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(shape))
    if frozen.graph.as_graph_def().library.function:
        raise NotImplementedError("a part of the graph is a function that XLA compiles, which Grappler passes over")
    graph = optimize(frozen.graph, [output.op.name for output in frozen.outputs])
    run = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    y = run.prune(frozen.inputs[0].name, frozen.outputs[0].name)(tf.constant(x))
    return y.numpy(), [node.op for node in graph.node]


def optimize(graph: Any, fetched: list[str]) -> Any:
    """A graph as Grappler leaves it; by itself it passes over graphs of fewer than four nodes."""
    config = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.min_graph_nodes = -1
    meta = tf.compat.v1.train.export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    outputs = meta_graph_pb2.CollectionDef()
    outputs.node_list.value.extend(fetched)
    meta.collection_def["train_op"].CopyFrom(outputs)
    return tf_optimizer.OptimizeGraph(config, meta)

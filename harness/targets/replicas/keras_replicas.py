"""Keras' layer with synchronized=True over the devices of a MirroredStrategy, which TensorFlow alone has."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from harness.targets.results import Results

os.environ["KERAS_BACKEND"] = "tensorflow"
import keras
import tensorflow as tf

from harness.targets.replicas.names import Replicas, join_replicas
from harness.targets.replicas.over import NotReplicableError
from harness.targets.replicas.shards import dealt

DEVICES = 8
"""Made of the host, which can be done only before TensorFlow uses it."""
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration() for _ in range(DEVICES)]
)


class KerasSync:
    """Channels last. A replica whose shard is empty takes part with no examples."""

    conventions = "keras"
    dtypes = ("float64", "float32")
    replicas = Replicas()
    strategy: Any = None

    @classmethod
    def over_replicas(cls, replicas: Replicas) -> type:
        if replicas.count > DEVICES:
            raise NotReplicableError(f"at most {DEVICES} devices are made of this machine")
        strategy = tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(replicas.count)])
        members = {"replicas": replicas, "strategy": strategy}
        return type(join_replicas(cls.__name__, replicas), (cls,), members)

    def __init__(self, setup: Any) -> None:
        given = {"epsilon": setup.eps, "momentum": setup.momentum}
        given = {name: value for name, value in given.items() if value is not None}
        with self.strategy.scope():
            self.layer = keras.layers.BatchNormalization(synchronized=True, dtype=setup.dtype, **given)
            self.layer.build((None, *[1] * (setup.ndim - 2), setup.num_features))
            self.layer.set_weights([setup.gamma, setup.beta, setup.moving_mean, setup.moving_var])

    def train(self, x: np.ndarray, dy: np.ndarray) -> Results:
        return self._step(x, dy, True)

    def eval(self, x: np.ndarray, dy: np.ndarray) -> Results:
        return self._step(x, dy, False)

    def _step(self, x: np.ndarray, dy: np.ndarray, training: bool) -> Results:
        def of_replica(x: Any, dy: Any) -> Any:
            parameters = [self.layer.gamma.value, self.layer.beta.value]
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = self.layer(x, training=training)
                objective = tf.reduce_sum(y * dy)
            return y, *tape.gradient(objective, [x, *parameters])

        results = self.strategy.run(of_replica, args=(self._placed(x), self._placed(dy)))
        y, dx, dgamma, dbeta = (
            [np.asarray(part) for part in self.strategy.experimental_local_results(result)] for result in results
        )
        return {"y": np.concatenate(y), "dx": np.concatenate(dx), "dgamma": sum(dgamma), "dbeta": sum(dbeta)}

    def _placed(self, array: np.ndarray) -> Any:
        shards = dealt(np.ascontiguousarray(array), self.replicas.count, self.replicas.shards)
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(shards[context.replica_id_in_sync_group])
        )

    def stats(self) -> dict[str, np.ndarray]:
        return self.replica_stats()[0]

    def replica_stats(self) -> list[dict[str, np.ndarray]]:
        variables = {"moving_mean": self.layer.moving_mean.value, "moving_var": self.layer.moving_variance.value}
        values = {name: self.strategy.experimental_local_results(variable) for name, variable in variables.items()}
        return [
            {name: np.asarray(of_replicas[rank]) for name, of_replicas in values.items()}
            for rank in range(self.replicas.count)
        ]

    def state(self) -> Any:
        return self.layer.get_weights()

    def load_state(self, state: Any) -> None:
        self.layer.set_weights(state)

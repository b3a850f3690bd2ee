"""Targets that are played by several replicas, each with a shard of every batch: synchronized layers, data parallelism.

A replicated target is an ordinary class of the contract. It deals x and dy out over the replicas along the batch, and
puts together what they return, so that it is judged as one layer on the whole batch is. Besides, `replica_stats` shows
the moving statistics of every replica, which must be equal to the bit.
"""

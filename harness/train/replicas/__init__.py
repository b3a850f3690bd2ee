"""Data-parallel training by several processes: a run, its watch, and its end.

`train` has the signature of an implementation's own `train`. It starts a launcher, torchrun's (agent.py) or one for JAX
(jax_agent.py), which starts a process a rank (rank.py, jax_rank.py; what both do is in own_part.py), and watches them:
a rank that dies or hangs ends the run, by name.
"""

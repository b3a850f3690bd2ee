"""Data-parallel training by several processes that torchrun's launcher starts: a run, its watch, and its end.

`train` has the signature of an implementation's own `train`. It starts the launcher (agent.py), which starts a process
a rank (rank.py), and watches them: a rank that dies or hangs ends the run, by name.
"""

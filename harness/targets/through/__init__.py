"""What users do to a batch norm: compile it, copy it, recompute it. It is done to a target while it is played."""

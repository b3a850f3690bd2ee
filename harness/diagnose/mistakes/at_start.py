"""What is done to a layer before its first step."""

from __future__ import annotations

from harness.judge.oracle import OracleLayer


class AtStart(OracleLayer):
    """`start` changes what was given. In `play`, so that it can be made under a condition: `from_setup` cannot."""

    alone = True
    started = False

    def start(self):
        raise NotImplementedError

    def play(self, step):
        if not self.started:
            self.started = True
            self.start()
        return super().play(step)

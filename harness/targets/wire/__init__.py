"""The wire between the suite and a target's player, in any language: JSON lines, as WIRE.md specifies them."""

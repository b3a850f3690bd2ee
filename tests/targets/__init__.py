"""Batch norms for the tests: right ones, wrong ones, ones that misbehave, and layers as users write them."""

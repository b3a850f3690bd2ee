"""A framework's own layer, or a function, behind the contract of an implementation under test: one short file each."""

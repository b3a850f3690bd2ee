"""Names for dicts of what is a framework's own, and so of no type that we know."""

from __future__ import annotations

from typing import Any

Results = dict[str, Any]
"""What a layer returns of a step, or holds: its framework's arrays by the name of the observable or parameter."""
Members = dict[str, Any]
"""The body of a class that is made at run time: a name, and the method or value that the class has under it."""
Keywords = dict[str, Any]
"""Arguments of somebody's constructor, or attributes of somebody's layer, by name."""

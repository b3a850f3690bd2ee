"""The known mistakes, each as the few lines in which it departs from the oracle.

A mistake is a mixin over `OracleLayer`, so that two of them can be stacked. Several variants may stand for one id:
the same misunderstanding leaves more than one trace. One that replaces a gradient calls the oracle's formula by its
class, since super() would lead two stacked replacements into each other.
"""

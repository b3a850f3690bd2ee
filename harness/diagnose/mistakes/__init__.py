"""The known mistakes, each as the few lines in which it departs from the oracle.

A mistake is a mixin over `OracleLayer`, so that two of them can be stacked. Several variants may stand for the same
id: the same misunderstanding shows in more than one way. A mistake that replaces a gradient calls the oracle's formula
by its class, since super() would lead two stacked replacements into each other. Attributes that are not the oracle's
have names of their own in each mistake, so that two stacked mistakes do not share them.
"""

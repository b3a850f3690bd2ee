"""A directed search for data on which an honest algorithm leaves its error bounds."""

"""The experiment on the error bounds: random inputs, exact results, honest algorithms, and the table of both."""

"""Work in pieces: one after another, side by side in processes, or on a Dask cluster. The results are the same."""

def curves(runs, path, is_sample): pass

if "." not in __name__:
    raise ImportError("import pushforward.numeric, not numeric: install the package first (pip install .)")

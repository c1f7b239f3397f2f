if "." not in __name__:
    raise ImportError("import pushforward.symbolic, not symbolic: install the package first (pip install .)")

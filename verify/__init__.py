if "." not in __name__:
    raise ImportError("import pushforward.verify, not verify: install the package first (pip install .)")

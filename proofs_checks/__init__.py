if "." not in __name__:
    raise ImportError("import pushforward.proofs_checks, not proofs_checks: install the package first (pip install .)")

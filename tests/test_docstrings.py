"""Every doctest runs under the real name of its module; every public name shows an example."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import pushforward

PARTS = ("symbolic", "numeric", "verify", "proofs_checks")


def module_names():
    # One by one: an editable install keeps the parts in folders that the package does not list.
    names = ["pushforward"]
    for package in ("pushforward", *(f"pushforward.{part}" for part in PARTS)):
        path = importlib.import_module(package).__path__
        names += [package, *(m.name for m in pkgutil.iter_modules(path, f"{package}."))]
    # __main__ runs the command line when it is imported.
    return sorted({name for name in names if not name.endswith("__main__")})


def public_names():
    for part in PARTS:
        module = importlib.import_module(f"pushforward.{part}")
        for name, value in vars(module).items():
            ours = str(getattr(value, "__module__", "")).startswith("pushforward.")
            if not name.startswith("_") and ours and callable(value):
                yield f"{part}.{name}", value


def shown_to_users():
    """What a user calls: all public functions, and the classes that `pushforward` itself lists.

    Other classes are made by functions or operators, whose examples show them.
    """
    listed = set(dir(pushforward))
    for name, value in public_names():
        if inspect.isfunction(value) or name.split(".")[1] in listed:
            yield pytest.param(value, id=name)


@pytest.mark.parametrize("name", module_names())
def test_doctests(name):
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    report = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("name", module_names())
def test_modules_have_docstrings_or_are_a_table_of_contents(name):
    module = importlib.import_module(name)
    assert module.__doc__ or inspect.getfile(module).endswith("__init__.py")


@pytest.mark.parametrize("part", PARTS)
def test_public_names_have_docstrings(part):
    found = [(name, value) for name, value in public_names() if name.startswith(part)]
    assert found and not [name for name, value in found if not inspect.getdoc(value)]


@pytest.mark.parametrize("value", list(shown_to_users()))
def test_what_users_call_shows_an_example(value):
    assert ">>>" in inspect.getdoc(value)

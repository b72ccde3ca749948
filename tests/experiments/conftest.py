"""Finished runs of two steps, shared by the tests of experiments."""

import pytest
from tiny import NEEDS, tiny_run


@pytest.fixture(scope="session")
def workdirs(tmp_path_factory):
    """A finished run of each experiment, made when it is asked for."""
    root = tmp_path_factory.mktemp("runs")

    def workdir(name):
        tiny_run(name, root / name, {field: str(workdir(other)) for field, other in NEEDS.get(name, {}).items()})
        return root / name

    return workdir

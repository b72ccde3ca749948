"""Finished runs of two steps, shared by the tests of experiments."""

import pytest
from tiny import NEEDS, tiny_run


@pytest.fixture(scope="session")
def workdirs(made_once):
    """A finished run of each experiment, made when it is asked for."""

    def workdir(name):
        needed = {field: str(workdir(other)) for field, other in NEEDS.get(name, {}).items()}
        return made_once(name, lambda folder: tiny_run(name, folder, needed))

    return workdir

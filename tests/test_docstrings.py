"""The docstrings of the public names: their examples print what they say."""

import doctest
import inspect

import pytest

import pixelcnn_jax


@pytest.mark.parametrize("name", pixelcnn_jax.__all__)
def test_the_example_of_a_public_name_prints_what_it_says(name):
    text = inspect.getdoc(getattr(pixelcnn_jax, name))
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    report = []
    doctest.DocTestRunner().run(example, out=report.append)
    assert example.examples
    assert not report, "".join(report)

"""The checker of annotated shapes; an int may stand for a float, as everywhere in Python."""

import functools

import torch
from beartype import BeartypeConf, beartype

STRICT = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(function):
    """The function that checks what goes in and out, but while a graph is exported: a symbol then stands for each size, which is no int."""
    strict = STRICT(function)

    @functools.wraps(function)
    def called(*args, **kwargs):
        return (function if torch.compiler.is_exporting() else strict)(*args, **kwargs)

    return called

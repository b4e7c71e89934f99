"""Named tensors in `.safetensors` files, as numpy arrays.

Knows no torch and no network.
"""

import json
import struct

import numpy

TYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "U32": "<u4"}


def load(path):
    """The tensors of a file by name, and its metadata."""
    data = numpy.fromfile(path, dtype=numpy.uint8)
    (length,) = struct.unpack("<Q", data[:8].tobytes())
    header = json.loads(data[8 : 8 + length].tobytes())
    metadata = header.pop("__metadata__", {})
    values = data[8 + length :]
    return {name: view(values, entry) for name, entry in header.items()}, metadata


def view(values, entry):
    """One tensor of the file's values."""
    start, end = entry["data_offsets"]
    return values[start:end].view(TYPES[entry["dtype"]]).reshape(entry["shape"])


def save(path, tensors):
    """Writes numpy arrays by name; wide types first, so that every tensor is aligned."""
    names = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
    header, start = {}, 0
    for name in names:
        end = start + tensors[name].nbytes
        shape = list(tensors[name].shape)
        header[name] = {"dtype": type_name(tensors[name]), "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            file.write(numpy.ascontiguousarray(tensors[name]).tobytes())


def type_name(array):
    """The format's name of an array's type."""
    return next(name for name, ours in TYPES.items() if array.dtype == numpy.dtype(ours))

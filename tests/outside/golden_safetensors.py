"""Reads the tensors of a small safetensors file with nothing but the standard library."""
import json
import struct

_FORMATS = {"F32": "f", "I32": "i", "I64": "q"}


def read(path):
    """{name: (shape, tuple of values)}"""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        letter = _FORMATS[entry["dtype"]]
        count = (end - begin) // struct.calcsize("<" + letter)
        tensors[name] = (entry["shape"], struct.unpack(f"<{count}{letter}", data[begin:end]))
    return tensors

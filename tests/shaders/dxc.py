"""Compiles HLSL with Microsoft's compiler: python3 dxc.py LIBRARY PROFILE FOLDER

LIBRARY is libdxcompiler.so, PROFILE such as cs_6_0. Each FOLDER/*.hlsl is compiled as wgpu does it, which includes
the validation of what comes out. Says how many were right; fails if one was not.
"""

import ctypes
import pathlib
import re
import sys
import uuid
from ctypes import POINTER, addressof, byref, c_char_p, c_int32, c_size_t, c_uint32, c_void_p, c_wchar_p

UTF8 = 65001
# Methods of `IUnknown`, which every object has. (Before 2023 there were two destructors more outside of Windows.)
FIRST = 3
# Compilers before the summer of 2025 take that 0, which naga writes, for one of 64 bits, and make a wrong module
# (issue 7400 of their repository). A session then takes 8-bit weights and says so.
LITERAL = re.compile(rb"(dot4add_[iu]8packed\([^()]*, )0\)")


class Text(ctypes.Structure):
    _fields_ = [("start", c_char_p), ("size", c_size_t), ("encoding", c_uint32)]


def guid(text):
    return (ctypes.c_ubyte * 16)(*uuid.UUID(text).bytes_le)


def method(thing, index, *types, result=c_int32):
    """The method of a COM object that stands at `index` of its table, after those of `IUnknown`."""
    table = ctypes.cast(thing, POINTER(POINTER(c_void_p)))[0]
    function = ctypes.CFUNCTYPE(result, c_void_p, *types)(table[FIRST + index])
    return lambda *arguments: function(thing, *arguments)


def blob(result, index):
    """What `GetResult` (1) or `GetErrorBuffer` (2) gives."""
    found = c_void_p()
    method(result, index, c_void_p)(addressof(found))
    if not found:
        return b""
    start = method(found, 0, result=c_void_p)()
    text = ctypes.string_at(start, method(found, 1, result=c_size_t)()) if start else b""
    release(found)
    return text


def release(thing):
    table = ctypes.cast(thing, POINTER(POINTER(c_void_p)))[0]
    ctypes.CFUNCTYPE(c_uint32, c_void_p)(table[2])(thing)


def compiler(library):
    made = c_void_p()
    create = ctypes.CDLL(library).DxcCreateInstance
    if create(guid("73e22d93-e6ce-47f3-b5bf-f0664f39c1b0"), guid("228b4687-5a6a-4730-900c-9702b2203f54"), byref(made)):
        sys.exit(f"{library}: there is no compiler in it")
    return made


def compile(made, source, profile):
    """The module and what was said; no module if it was wrong."""
    text = Text(source, len(source), UTF8)
    words = ["-E", "main", "-T", profile, "-HV", "2018", "-no-warnings", "-Ges"]
    words = (c_wchar_p * len(words))(*words)
    kind, result, status = guid("58346cda-dde7-4497-9461-6f87af5e0659"), c_void_p(), c_int32()
    types = (c_void_p, c_void_p, c_uint32, c_void_p, c_void_p, c_void_p)
    failed = method(made, 0, *types)(addressof(text), addressof(words), len(words), None, addressof(kind), addressof(result))
    if failed or not result:
        return b"", f"the compiler answers {failed & 0xFFFFFFFF:#x}"
    method(result, 0, c_void_p)(addressof(status))
    module, said = b"" if status.value else blob(result, 1), blob(result, 2).decode()
    release(result)
    return module, said.rstrip("\0\n")


def main():
    library, profile, folder = sys.argv[1:]
    made, wrong, helped = compiler(library), 0, 0
    files = sorted(pathlib.Path(folder).glob("*.hlsl"))
    for file in files:
        text = file.read_bytes()
        module, said = compile(made, text, profile)
        if "dot4AddPacked.i64" in said:
            helped += 1
            module, said = compile(made, LITERAL.sub(rb"\1int(0))", text), profile)
        if module[:4] != b"DXBC":
            wrong += 1
            print(f"{file} as {profile}: {said}", file=sys.stderr)
    print(f"HLSL: {len(files) - wrong} of {len(files)} shaders as {profile}", end="")
    print(f", {helped} of them around a fault of this compiler" if helped else "")
    if wrong or not files:
        sys.exit(1)


main()

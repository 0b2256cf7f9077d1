"""Becomes the program that its arguments name, for which `clone3` is a call that the system does not
know: as in Docker's usual sandbox, and under systemd with RestrictNamespaces=."""
import ctypes
import os
import struct
import sys

NO_NEW_PRIVS, SECCOMP, FILTER = 38, 22, 2
CLONE3, ENOSYS = 435, 38
rules = [
    (0x20, 0, 0, 0),  # Take the number of the call.
    (0x15, 0, 1, CLONE3),  # If it is this one,
    (0x06, 0, 0, 0x00050000 | ENOSYS),  # there is none.
    (0x06, 0, 0, 0x7FFF0000),  # Else go on.
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("rules", ctypes.c_void_p)]


program = Program(len(rules), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
for arguments in [(NO_NEW_PRIVS, 1, 0, 0, 0), (SECCOMP, FILTER, ctypes.byref(program), 0, 0)]:
    if libc.prctl(*arguments) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])

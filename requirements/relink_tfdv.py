"""Let TensorFlow Data Validation load on glibc older than 2.38 (Debian 12, Ubuntu 22.04, RHEL 9).

The 1.21 wheel is built on Ubuntu 24.04. All that it takes from the newer C and C++ libraries are five names: four
`__isoc23_strto*` (the C23 twins of `strto*`, which also read "0b11") and `std::ios_base_library_init` (a marker
that is never called). This script points them at their older twins, in the installed file only, and does nothing
where the system is new enough or the file was already changed. See docs/decisions/0002-tfdv-on-older-glibc.md.

Usage: python requirements/relink_tfdv.py [path of the extension]
"""

import glob
import os
import platform
import struct
import sys
import sysconfig

NAMES = {
    b"__isoc23_strtol": b"strtol",
    b"__isoc23_strtoll": b"strtoll",
    b"__isoc23_strtoul": b"strtoul",
    b"__isoc23_strtoull": b"strtoull",
    b"_ZSt21ios_base_library_initv": b"_ZSt9terminatev",
}
VERSIONS = {b"GLIBC_2.38": b"GLIBC_2.2.5", b"GLIBCXX_3.4.32": b"GLIBCXX_3.4"}
EXTENSION = "tensorflow_data_validation/pywrap/tensorflow_data_validation_extension*.so"


def elf_hash(name: bytes) -> int:
    """The System V hash that a version record stores beside its name."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        value = (value ^ ((value & 0xF0000000) >> 24)) & 0x0FFFFFFF
    return value


def relink(image: bytearray) -> bool:
    """Renames the five symbols and their versions in a 64-bit ELF `image`; False where there is nothing to do."""
    table, size, count = (
        struct.unpack_from("<Q", image, 40)[0],
        *struct.unpack_from("<HH", image, 58),
    )
    sections = [struct.unpack_from("<IIQQQQIIQQ", image, table + size * i) for i in range(count)]
    needs = next(s for s in sections if s[1] == 0x6FFFFFFE)  # SHT_GNU_verneed
    start, length = sections[needs[6]][4], sections[needs[6]][5]
    strings = bytes(image[start : start + length])
    if strings.find(b"\0" + b"__isoc23_strtol\0") < 0:
        return False
    for old, new in NAMES.items():
        at = start + strings.index(b"\0" + old + b"\0") + 1
        image[at : at + len(old)] = new.ljust(len(old), b"\0")
    record = needs[4]
    while True:
        _, entries, _, first, following = struct.unpack_from("<HHIII", image, record)
        entry = record + first
        for _ in range(entries):
            _, _, _, name, step = struct.unpack_from("<IHHII", image, entry)
            new = VERSIONS.get(strings[name : strings.index(b"\0", name)])
            if new:
                struct.pack_into("<I", image, entry, elf_hash(new))
                struct.pack_into("<I", image, entry + 8, strings.index(b"\0" + new + b"\0") + 1)
            entry += step
        if not following:
            return True
        record += following


def main() -> None:
    found = sys.argv[1:] or glob.glob(os.path.join(sysconfig.get_path("purelib"), EXTENSION))
    libc, version = platform.libc_ver()
    recent = libc != "glibc" or tuple(map(int, version.split("."))) >= (2, 38)
    if recent or platform.machine() != "x86_64":
        return
    for path in found:
        with open(path, "rb") as file:
            image = bytearray(file.read())
        if relink(image):
            # A new file, moved over the old name: uv hard-links installed files to its cache, which must stay as it is.
            with open(path + ".new", "wb") as file:
                file.write(image)
            os.chmod(path + ".new", 0o755)
            os.replace(path + ".new", path)
            print(f"relinked {os.path.basename(path)} for {libc} {version}")


if __name__ == "__main__":
    main()

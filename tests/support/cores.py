"""Writes the core file of a process that stands still (SIGSTOP), as the kernel would: for tests, on x86-64.

write(pid, path) keeps what the kernel keeps by default: memory that is the process's own, and the first page of each
mapped file. The registers have what /proc/PID/task/TID/syscall tells; who sleeps in a call has -ERESTARTSYS as its answer.
"""

import os
import re
import struct

PAGE = 4096
PT_LOAD, PT_NOTE = 1, 4
NT_PRSTATUS, NT_PRPSINFO, NT_AUXV, NT_FILE = 1, 3, 6, 0x46494C45
ERESTARTSYS = 512


class Mapping:
    def __init__(self, line):
        found = re.match(r"(\w+)-(\w+) (\S+) (\w+) (\w+:\w+) (\d+) *(.*)", line)
        self.start, self.end, self.offset = (int(found.group(i), 16) for i in (1, 2, 4))
        self.flags = "".join(found.group(3))
        self.path = found.group(7) if int(found.group(6)) else ""
        self.special = "" if self.path else found.group(7)


def keeps_own(mapping):
    """How much of a mapping the kernel keeps (coredump_filter 0x33), but that it may keep less of what was never written."""
    if not mapping.path or "w" in mapping.flags:
        return mapping.end - mapping.start
    return PAGE if mapping.offset == 0 else 0


def keeps_all(mapping):
    return mapping.end - mapping.start


def keeps_no_file(mapping):
    return 0 if mapping.path and "w" not in mapping.flags else mapping.end - mapping.start


def note(kind, content):
    return struct.pack("<III", 5, len(content), kind) + b"CORE\0\0\0\0" + content + bytes(-len(content) % 4)


def status(tid, signal, call):
    """struct elf_prstatus: the signal at 12, the thread at 32, the registers at 112."""
    words = call.split()
    registers = [0] * 27
    registers[15] = 2 ** 64 - 1  # orig_rax: in no call
    if words[0].isdigit():
        registers[15], registers[14], registers[10] = int(words[0]), int(words[1], 16), 2 ** 64 - ERESTARTSYS
    content = bytearray(336)
    struct.pack_into("<h", content, 12, signal)
    struct.pack_into("<i", content, 32, tid)
    struct.pack_into("<27Q", content, 112, *registers)
    return bytes(content)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def notes(pid, mappings, signal, as_pid):
    threads = sorted(int(tid) for tid in os.listdir("/proc/%d/task" % pid))
    first = note(NT_PRSTATUS, status(threads[0], signal, read("/proc/%d/task/%d/syscall" % (pid, threads[0])).decode()))
    command = read("/proc/%d/cmdline" % pid).replace(b"\0", b" ")[:79]
    info = struct.pack("<4cxxxxQIIiiii16s80s", b"\0", b"R", b"\0", b"\0", 0, 0, 0, as_pid or pid, 0, 0, 0, b"python", command)
    files = [m for m in mappings if m.path]
    table = struct.pack("<QQ", len(files), PAGE) + b"".join(
        struct.pack("<QQQ", m.start, m.end, m.offset // PAGE) for m in files)
    table += b"".join(m.path.encode("utf-8", "surrogateescape") + b"\0" for m in files)
    rest = b"".join(note(NT_PRSTATUS, status(tid, signal, read("/proc/%d/task/%d/syscall" % (pid, tid)).decode()))
                    for tid in threads[1:])
    return first + note(NT_PRPSINFO, info) + note(NT_AUXV, read("/proc/%d/auxv" % pid)) + note(NT_FILE, table) + rest


def write(pid, path, keeps=keeps_own, signal=0, as_pid=0):
    with open("/proc/%d/maps" % pid) as file:
        mappings = [Mapping(line) for line in file]
    mappings = [m for m in mappings if m.start < 2 ** 63 and m.special not in ("[vvar]", "[vvar_vclock]")]
    text = notes(pid, mappings, signal, as_pid)
    at = 64 + 56 * (len(mappings) + 1)
    headers = [struct.pack("<IIQQQQQQ", PT_NOTE, 0, at, 0, 0, len(text), 0, 4)]
    at += len(text)
    at += -at % PAGE
    parts = []
    for m in mappings:
        bytes_kept = keeps(m) if "r" in m.flags else 0
        flags = sum(bit for letter, bit in zip("rwx", (4, 2, 1)) if letter in m.flags)
        headers.append(struct.pack("<IIQQQQQQ", PT_LOAD, flags, at, m.start, 0, bytes_kept, m.end - m.start, PAGE))
        parts.append((at, m.start, bytes_kept))
        at += bytes_kept
    with open(path, "wb") as out, open("/proc/%d/mem" % pid, "rb", 0) as memory:
        out.write(b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56,
                                                          len(headers), 0, 0, 0))
        out.write(b"".join(headers) + text)
        for offset, start, size in parts:
            done = 0
            while done < size:
                memory.seek(start + done)
                try:
                    piece = memory.read(min(1 << 20, size - done))
                except OSError:  # the file that is mapped ends here: zeros, page by page
                    memory.seek(start + done)
                    try:
                        piece = memory.read(PAGE)
                    except OSError:
                        piece = bytes(PAGE)
                if piece.strip(b"\0"):  # else a hole, as the kernel leaves them
                    out.seek(offset + done)
                    out.write(piece)
                done += len(piece)
        out.truncate(at)

"""`basilisk doctor`: each cause is made for real, is named, and where the cure can be run it is, and helps.

Most need root, to become somebody else. What this machine cannot give is said where it is stood in for: Yama.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import pytest

from conftest import BASILISK, PYTHON

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

# An interpreter that everybody may run: a test's own may lie in root's home.
SYSTEM_PYTHON = next((p for p in ("/usr/bin/python3", "/usr/local/bin/python3") if os.access(p, os.X_OK)), None)
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
NO_PTRACE = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]

WAIT = "import sys; print('ready', flush=True); sys.stdin.read()"
NOT_DUMPABLE = "import ctypes; assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0; " + WAIT

# Refuses one system call with EPERM and becomes the command: what a container's filter does.
REFUSE = r"""
import ctypes, os, struct, sys
number = int(sys.argv[1])
libc = ctypes.CDLL(None)
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
program = Program(len(rules), ctypes.addressof(code))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture(scope="module")
def binary():
    """Basilisk where everybody may run it; pytest's own folders are closed to others."""
    folder = tempfile.mkdtemp(prefix="basilisk-doctor-")
    os.chmod(folder, 0o755)
    yield shutil.copy(BASILISK, os.path.join(folder, "basilisk"))
    shutil.rmtree(folder)


@pytest.fixture
def target():
    """Starts programs that end with their standard input."""
    running = []

    def start(code=WAIT, prefix=(), python=None):
        command = [*prefix, python or (SYSTEM_PYTHON if prefix else PYTHON), "-c", code]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")
        running.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in running:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()


def doctor(binary, *arguments, prefix=(), **options):
    done = subprocess.run([*prefix, binary, "doctor", "--json", *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=120, cwd="/", **options)
    assert done.returncode in (0, 1), (done.returncode, done.stdout, done.stderr)
    answer = json.loads(done.stdout)
    assert answer["ok"] == (done.returncode == 0)
    return answer


def finding(answer, check):
    found = [one for one in answer["checks"] if one["check"] == check]
    assert len(found) == 1, answer
    return found[0]


def refused(answer, check, cause):
    one = finding(answer, check)
    assert not answer["ok"] and (one["status"], one["cause"]) == ("failed", cause), answer
    return one


def reads(answer):
    assert answer["ok"], answer
    assert finding(answer, "reading")["status"] == "ok"
    assert re.match(r"Python 3\.\d+\S*.*: read 1 of the stacks of 1 thread$", finding(answer, "python")["text"])
    return True


# ---- The machine


def test_of_the_machine(binary):
    answer = doctor(binary)
    checks = {one["check"]: one["status"] for one in answer["checks"]}
    assert {"user", "child", "others", "ticks", "perf", "debugpy", "memory", "therefore"} <= set(checks)
    assert checks["child"] == "ok"
    assert answer["ok"] == (checks["others"] == "ok")


def test_leaves_no_process_behind(binary):
    before = set(os.listdir("/proc"))
    doctor(binary)
    left = [pid for pid in set(os.listdir("/proc")) - before if pid.isdigit()]
    for pid in left:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as file:
                    if binary.encode() not in file.read():
                        break
            except OSError:
                break
        else:
            pytest.fail("%s is left" % pid)


def test_a_list_for_people_in_their_alphabet(binary, target):
    process = target()
    command = [binary, "doctor", "-p", str(process.pid)]
    nice = subprocess.run(command, stdout=subprocess.PIPE, env=dict(os.environ, LC_ALL="C.UTF-8"), timeout=60)
    plain = subprocess.run(command, stdout=subprocess.PIPE, env=dict(os.environ, LC_ALL="C"), timeout=60)
    assert nice.returncode == plain.returncode == 0
    assert nice.stdout.decode().startswith("\u2713 process %d of " % process.pid)
    assert plain.stdout.decode("ascii").startswith("ok process %d of " % process.pid)
    assert b"\x1b" not in nice.stdout


def test_debugpy_is_found_by_running_the_python(binary, target, tmp_path):
    process = target()
    has = subprocess.run([PYTHON, "-c", "import debugpy; print(debugpy.__version__)"], stdout=subprocess.PIPE)
    if has.returncode != 0:
        pytest.skip("the tests' Python has no debugpy")
    one = finding(doctor(binary, "-p", str(process.pid)), "debugpy")
    assert one["status"] == "ok" and "debugpy " + has.stdout.decode().strip() in one["text"]
    # without it: a virtual environment of its own; the cure is named, and not run: it would need the network
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    answer = doctor(binary, env=dict(os.environ, PATH=str(tmp_path / "venv" / "bin") + ":" + os.environ["PATH"]))
    one = finding(answer, "debugpy")
    assert (one["status"], one["cause"]) == ("warning", "debugpy") and one["fix"] == "python3 -m pip install debugpy"


def test_wrong_usage(binary):
    for arguments in (["-p", "x"], ["-p", "0"], ["what"], ["--what"]):
        done = subprocess.run([binary, "doctor", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == 2 and done.stdout == b"" and done.stderr


# ---- A process


def test_of_a_python(binary, target):
    assert reads(doctor(binary, "-p", str(target().pid)))


def test_no_such_process(binary):
    one = refused(doctor(binary, "-p", "2147483646"), "process", "pid-namespace" if not in_first_pid_namespace()
                  else "gone")
    assert "Process not found: 2147483646" in one["text"]


def in_first_pid_namespace():
    return os.stat("/proc/self/ns/pid").st_ino == 0xEFFFFFFC


def test_a_zombie(binary, target):
    process = target()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    refused(doctor(binary, "-p", str(process.pid)), "process", "gone")


def test_no_python_and_the_python_below_it(binary):
    shell = subprocess.Popen(["sh", "-c", "%s -c \"%s\"; exit 0" % (PYTHON, WAIT)], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    try:
        assert shell.stdout.readline() == b"ready\n"
        one = refused(doctor(binary, "-p", str(shell.pid)), "python", "not-python")
        # the cure is a command: run it
        cure = one["fix"].split()
        assert cure[:3] == [binary, "doctor", "-p"] and cure[3] != str(shell.pid)
        assert reads(doctor(binary, *cure[2:]))
    finally:
        shell.stdin.close()
        shell.wait(10)
        shell.stdout.close()


def test_an_unsupported_python(binary, target):
    old = next((p for p in (os.path.expanduser("~/.pyenv/versions/%s/bin/python" % v) for v in ("3.7.16", "3.6.15"))
                if os.access(p, os.X_OK)), None)
    if not old:
        pytest.skip("there is no CPython older than 3.8")
    one = refused(doctor(binary, "-p", str(target(python=old).pid)), "python", "unsupported")
    assert re.search(r"CPython 3\.[67]\.\d+ found", one["text"])


@root
def test_another_users(binary, target):
    process = target()
    one = refused(doctor(binary, "-p", str(process.pid), prefix=NOBODY), "reading", "user")
    assert "belongs to root" in one["text"]
    # the cure: sudo, whose part root plays
    cure = one["fix"].split()
    assert cure == ["sudo", binary, "doctor", "-p", str(process.pid)]
    assert reads(doctor(cure[1], *cure[3:]))


@root
def test_a_root_without_the_capability(binary, target):
    process = target(prefix=NOBODY)
    one = refused(doctor(binary, "-p", str(process.pid), prefix=NO_PTRACE), "reading", "capability")
    assert one["fix"] == "docker run --cap-add=SYS_PTRACE ..."  # a container's root, with the capability, is root here
    assert reads(doctor(binary, "-p", str(process.pid)))


@root
def test_one_that_can_do_more(binary, target):
    process = target(prefix=[*NOBODY, "--inh-caps=+net_admin", "--ambient-caps=+net_admin"])
    one = refused(doctor(binary, "-p", str(process.pid), prefix=NOBODY), "reading", "capability")
    assert "capabilities that you do not have" in one["text"]
    cure = one["fix"].split()
    assert cure[0] == "sudo" and reads(doctor(cure[1], *cure[3:]))


@root
def test_one_that_is_not_dumpable(binary, target):
    process = target(NOT_DUMPABLE, prefix=NOBODY)
    one = refused(doctor(binary, "-p", str(process.pid), prefix=NOBODY), "reading", "dumpable")
    cure = one["fix"].split()
    assert cure[0] == "sudo" and reads(doctor(cure[1], *cure[3:]))


@root
def test_a_user_namespace(binary, target):
    process = target(prefix=NOBODY)
    inside = [*NOBODY, "unshare", "--user", "--map-root-user"]
    if subprocess.run([*inside, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("this kernel gives ordinary users no user namespace")
    assert reads(doctor(binary, "-p", str(process.pid), prefix=NOBODY))
    one = refused(doctor(binary, "-p", str(process.pid), prefix=inside), "reading", "namespace")
    assert "outside this user namespace" in one["fix"]  # which the line above the last did


@root
def test_a_rootless_container_is_read_from_outside(binary, target):
    process = target(prefix=[*NOBODY, "unshare", "--user", "--map-root-user"])
    assert reads(doctor(binary, "-p", str(process.pid), prefix=NOBODY))


@root
def test_a_container_is_read_from_outside_and_not_the_host_from_inside(binary, target):
    outside = target()
    unshare = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", PYTHON, "-c", WAIT],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert unshare.stdout.readline() == b"ready\n"
        with open("/proc/%d/task/%d/children" % (unshare.pid, unshare.pid)) as file:
            pid = int(file.read().split()[0])
        answer = doctor(binary, "-p", str(pid))
        assert reads(answer)
        assert "its number is 1" in finding(answer, "pid-namespace")["text"]
    finally:
        unshare.stdin.close()
        unshare.wait(10)
        unshare.stdout.close()
    inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    one = refused(doctor(binary, "-p", str(outside.pid), prefix=inside), "process", "pid-namespace")
    assert "on the host" in one["fix"]
    assert reads(doctor(binary, "-p", str(outside.pid)))


@root
def test_a_proc_of_another_namespace(binary):
    inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount"]
    one = refused(doctor(binary, prefix=inside), "proc", "pid-namespace")
    assert one["fix"] == "mount -t proc proc /proc"
    answer = doctor(binary, prefix=[*inside, "sh", "-c", one["fix"] + ' && exec "$@"', "sh"])
    assert answer["ok"] and not [c for c in answer["checks"] if c["check"] == "proc"]


@root
def test_a_proc_that_hides_others(binary, target):
    process = target()
    hide = ["unshare", "--mount", "sh", "-c", "mount -t proc -o hidepid=2 proc /proc && exec \"$@\"", "sh"]
    one = refused(doctor(binary, "-p", str(process.pid), prefix=[*hide, *NOBODY]), "process", "hidden")
    cure = one["fix"].split()
    assert cure[0] == "sudo" and reads(doctor(cure[1], *cure[3:], prefix=hide))


def test_a_filter_of_system_calls(binary, target):
    number = {"x86_64": 310, "aarch64": 270}.get(os.uname().machine)
    if number is None:
        pytest.skip("the number of process_vm_readv is not known here")
    process = target()
    filtered = [PYTHON, "-c", REFUSE, str(number)]
    one = refused(doctor(binary, "-p", str(process.pid), prefix=filtered), "seccomp", "seccomp")
    assert one["fix"] == "docker run --security-opt seccomp=unconfined ..."
    refused(doctor(binary, prefix=filtered), "seccomp", "seccomp")
    assert reads(doctor(binary, "-p", str(process.pid)))  # without the filter


TRACE = r"""
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
pid = int(sys.argv[1])
assert libc.ptrace(0x4206, pid, None, None) == 0, os.strerror(ctypes.get_errno())  # SEIZE: does not stop it
if len(sys.argv) > 2:
    assert libc.ptrace(0x4207, pid, None, None) == 0  # INTERRUPT
    os.waitpid(pid, 0x40000000)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_another_tracer(stopped, binary, target):
    process = target()
    tracer = subprocess.Popen([PYTHON, "-c", TRACE, str(process.pid), *(["stop"] if stopped else [])],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if tracer.stdout.readline() != b"ready\n":
            pytest.skip("nothing may be traced here")
        answer = doctor(binary, "-p", str(process.pid))
        assert reads(answer)  # reading needs no tracer's place
        one = finding(answer, "tracer")
        assert (one["status"], one["cause"]) == ("warning", "tracer") and "process %d" % tracer.pid in one["text"]
        assert bool([c for c in answer["checks"] if c["check"] == "state"]) == stopped
        assert one["fix"] == "kill %d" % tracer.pid
        subprocess.run(one["fix"].split(), check=True)
        tracer.wait(10)
        answer = doctor(binary, "-p", str(process.pid))
        assert reads(answer) and not [c for c in answer["checks"] if c["check"] in ("tracer", "state")]
    finally:
        tracer.kill()
        tracer.wait()
        tracer.stdin.close()
        tracer.stdout.close()


def test_a_stopped_process(binary, target):
    process = target()
    os.kill(process.pid, 19)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    one = finding(doctor(binary, "-p", str(process.pid)), "state")
    assert one["cause"] == "stopped"
    subprocess.run(one["fix"].split(), check=True)
    os.waitid(os.P_PID, process.pid, os.WCONTINUED)
    assert not [c for c in doctor(binary, "-p", str(process.pid))["checks"] if c["check"] == "state"]


# ---- eBPF and perf


@root
def test_ticks_need_capabilities(binary):
    if finding(doctor(binary), "ticks")["status"] != "ok":
        pytest.skip("not even root may load an eBPF program here")
    one = finding(doctor(binary, prefix=NOBODY), "ticks")
    assert (one["status"], one["cause"]) == ("warning", "capability")
    cure = one["fix"].split()
    assert cure == ["sudo", "setcap", "cap_bpf,cap_perfmon,cap_sys_ptrace+ep", binary]
    setcap = shutil.which("setcap") or "/usr/sbin/setcap"
    if not os.access(setcap, os.X_OK) or subprocess.run([setcap, *cure[2:]]).returncode != 0:
        pytest.skip("no file capabilities here: the cure was not run")
    try:
        assert finding(doctor(binary, prefix=NOBODY), "ticks")["status"] == "ok"
    finally:
        subprocess.run([setcap, "-r", binary], check=True)


@root
@pytest.mark.parametrize("capabilities", ["cap_bpf,cap_perfmon+ep", "cap_sys_ptrace+ep", "cap_net_admin+p"])
def test_capabilities_of_our_own_file_do_not_mislead_it(capabilities, binary):
    """A copy of us with capabilities that are not in effect could not be read; programs of the user's can."""
    setcap = shutil.which("setcap") or "/usr/sbin/setcap"
    if not os.access(setcap, os.X_OK) or subprocess.run([setcap, capabilities, binary]).returncode != 0:
        pytest.skip("no file capabilities here")
    try:
        answer = doctor(binary, prefix=NOBODY)
        assert [finding(answer, check)["status"] for check in ("child", "others")] == ["ok", "ok"]
    finally:
        subprocess.run([setcap, "-r", binary], check=True)


@root
def test_perf_events_by_the_paranoid_setting(binary):
    path = "/proc/sys/kernel/perf_event_paranoid"
    with open(path) as file:
        before = file.read()
    try:
        with open(path, "w") as file:
            file.write("3")
    except OSError:
        pytest.skip("the setting cannot be changed here")
    try:
        one = finding(doctor(binary, prefix=NOBODY), "perf")
        if one["status"] == "ok":
            pytest.skip("this kernel has no level 3 (Debian's and Ubuntu's have)")
        assert one["fix"] == "sudo sysctl kernel.perf_event_paranoid=1"
        with open(path, "w") as file:
            file.write("1")
        assert finding(doctor(binary, prefix=NOBODY), "perf")["status"] == "ok"
    finally:
        with open(path, "w") as file:
            file.write(before)


# ---- Memory


@root
def test_the_memory_of_the_cgroup(binary, target):
    process = target()
    group = next((g for g in ("/sys/fs/cgroup", "/sys/fs/cgroup/memory")
                  if os.path.exists(g + "/cgroup.procs") and
                  (os.path.exists(g + "/memory.limit_in_bytes") or
                   "memory" in open(g + "/cgroup.subtree_control").read())), None) \
        if os.path.exists("/sys/fs/cgroup") else None
    own = group and "%s/basilisk-test-%d" % (group, os.getpid())
    try:
        os.mkdir(own)
    except (OSError, TypeError):
        pytest.skip("no memory cgroup can be made here")
    try:
        with open(own + ("/memory.max" if os.path.exists(own + "/memory.max") else "/memory.limit_in_bytes"), "w") as file:
            file.write(str(40 << 20))
        with open(own + "/cgroup.procs", "w") as file:
            file.write(str(process.pid))
        one = finding(doctor(binary, "-p", str(process.pid)), "memory")
        assert (one["status"], one["cause"]) == ("warning", "cgroup") and "has 40 MiB" in one["text"]
    finally:
        process.kill()
        process.wait()
        os.rmdir(own)


# ---- Yama


def in_yamas_place(binary, scope, pid, prefix):
    """There is no Yama in the kernels that these tests have run on. Its setting is a file that is laid over /proc/sys/kernel in a mount
    namespace, and its refusal an unreadable file laid over /proc/PID/mem: doctor sees what it would see, and may look
    (maps) where it may not attach (mem), as with Yama. Only Yama's own decision is not tested."""
    script = ("mount -t tmpfs none /proc/sys/kernel && mkdir /proc/sys/kernel/yama && "
              "echo %d > /proc/sys/kernel/yama/ptrace_scope && touch /proc/sys/kernel/none && "
              "chmod 0 /proc/sys/kernel/none && mount --bind /proc/sys/kernel/none /proc/%d/mem && exec \"$@\"" % (scope, pid))
    return ["unshare", "--mount", "sh", "-c", script, "sh", *prefix]


@root
@pytest.mark.skipif(os.path.exists("/proc/sys/kernel/yama"), reason="there is a Yama: its real setting is not ours to change")
@pytest.mark.parametrize("scope,fix", [
    (1, "sudo sysctl kernel.yama.ptrace_scope=0"), (2, "sudo setcap cap_sys_ptrace+ep {binary}"),
    (3, "echo kernel.yama.ptrace_scope=1 | sudo tee /etc/sysctl.d/99-ptrace.conf && sudo reboot")])
def test_yama(scope, fix, binary, target):
    process = target(prefix=NOBODY)
    inside = in_yamas_place(binary, scope, process.pid, NOBODY)
    if subprocess.run([*inside, "true"], stderr=subprocess.PIPE).returncode != 0:
        pytest.skip("nothing can be laid over /proc here")
    one = refused(doctor(binary, "-p", str(process.pid), prefix=inside), "reading", "yama")
    assert "ptrace_scope is %d" % scope in one["text"]
    assert one["fix"] == fix.format(binary=binary)
    user = finding(doctor(binary, prefix=inside), "user")
    assert "ptrace_scope %d" % scope in user["text"]

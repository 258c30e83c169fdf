#!/usr/bin/env python3
"""Makes a Scipion environment of its own, with the plugin in it. Needs nothing but Python 3.8 or later, run by any.

    python3 install.py --to DIR [--python PYTHON]

Scipion runs on Python 3.8 to 3.12: the interpreter is searched for, unless one is named. A finished environment that
fits this plugin and this lock is left as it is; anything else under DIR is made anew. From DIR/cryoferry-scipion.json
the receiver (`cryoferry serve --scipion DIR`) reads where its interpreter is and which variables it needs.
`DIR/scipion open PROJECT` opens a project in Scipion's desktop, `DIR/scipion pictures PROJECT` shows its micrographs,
`DIR/scipion ctfs PROJECT` its CTFs.

Exit codes: 0 done, 1 the installation failed, 2 wrong usage, 3 no suitable Python (of that version, with tkinter).
"""

import argparse
import contextlib
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSIONS = ((3, 11), (3, 10), (3, 9), (3, 8), (3, 12))  # the best tried first
DESCRIPTION = "cryoferry-scipion.json"
PROBE = """
import sys, venv, ensurepip
try:
    import tkinter
except ImportError:
    tkinter = None
print(sys.version_info[0], sys.version_info[1], "tkinter" if tkinter else "bare")
"""  # scipion-em imports tkinter, window or not


def say(text):
    """Tell the person at the terminal."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def candidates():
    """Yield (interpreter, expected version) in the order of preference; they may not exist or not work."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for major, minor in VERSIONS:
        name = f"python{major}.{minor}"
        if sys.version_info[:2] == (major, minor):
            yield sys.executable, (major, minor)
        found = shutil.which(name)
        if found:
            yield found, (major, minor)
        for folder in sorted(pyenv.glob(f"{major}.{minor}.*"), reverse=True):
            yield str(folder / "bin" / "python"), (major, minor)
        for folder in ("/usr/bin", "/usr/local/bin", "/opt/local/bin"):
            yield os.path.join(folder, name), (major, minor)


def probed(interpreter):
    """Return ((major, minor), has tkinter) of an interpreter that runs and can make environments, or None."""
    try:
        done = subprocess.run(
            [interpreter, "-I", "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = done.stdout.decode("ascii", "replace").split()
    if done.returncode != 0 or len(words) != 3:
        return None
    return (int(words[0]), int(words[1])), words[2] == "tkinter"


def find_python(named):
    """Return the interpreter to use, or None; and those that would do if they had tkinter."""
    if named:
        found = probed(named)
        wanted = [(named, found[0])] if found and found[0] in VERSIONS else []
    else:
        wanted = candidates()
    tried, bare = set(), []
    for interpreter, version in wanted:
        found = None if interpreter in tried else probed(interpreter)
        tried.add(interpreter)
        if found == (version, True):
            return interpreter, bare
        if found == (version, False):
            bare.append(interpreter)
    return None, bare


def why_none(named, bare):
    """Say what is missing where no interpreter will do, and how to get it."""
    if bare:
        return (
            f"Scipion needs a Python with tkinter; found without it: {', '.join(bare)}. "
            "Install it (Debian, Ubuntu: apt-get install python3-tk; Fedora: dnf install python3-tkinter)."
        )
    if named:
        return f"{named} is not a working Python 3.8 to 3.12, which Scipion needs."
    return (
        "Scipion needs a Python from 3.8 to 3.12, with venv, and none was found. Install one, or name it: "
        "install.py --to DIR --python PYTHON"
    )


def fingerprint():
    """Return a digest of everything that an installation depends on."""
    digest = hashlib.sha256()
    plugin = sorted(HERE.glob("cryoferry_scipion/**/*.py"))
    for path in [*plugin, HERE / "pyproject.toml", HERE / "requirements.lock", Path(__file__).resolve()]:
        digest.update(path.relative_to(HERE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def lock_digest():
    """Return a digest of the dependencies alone."""
    return hashlib.sha256((HERE / "requirements.lock").read_bytes()).hexdigest()


def description_of(folder):
    """Return what a finished installation says of itself, else None."""
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return description if os.access(description.get("python", ""), os.X_OK) else None


def environment(folder):
    """Return the variables that this Scipion needs."""
    home = folder / "home"
    return {
        "SCIPION_HOME": str(home),
        "SCIPION_USER_DATA": str(folder / "user-data"),
        "SCIPION_CONFIG": str(home / "config" / "scipion.conf"),
        "SCIPION_LOCAL_CONFIG": str(home / "config" / "scipion.conf"),
        "SCIPION_PYTHON": str(folder / "venv" / "bin" / "python"),
        "SCIPION_DOMAIN": "pwem",
        "SCIPION_NOTIFY": "False",
    }


def run(command, log, variables=None):
    """Run a program; its output goes to the log.

    Raises
    ------
    subprocess.CalledProcessError
        It failed.
    """
    subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **(variables or {})},
        check=True,
    )


def install_dependencies(folder, interpreter, log):
    """Make the environment and put Scipion into it, each file checked by its hash."""
    shutil.rmtree(str(folder / "venv"), ignore_errors=True)
    run([interpreter, "-m", "venv", str(folder / "venv")], log)
    pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--no-deps"]
    lock = (HERE / "requirements.lock").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        # what comes as source is built by the tools of the lock, not by newer ones fetched unchecked
        tools = Path(scratch) / "tools.lock"
        tools.write_text(tools_of(lock), encoding="utf-8")
        run([*pip, "--require-hashes", "-r", str(tools)], log)
    run([*pip, "--require-hashes", "--no-build-isolation", "-r", str(HERE / "requirements.lock")], log)


def tools_of(lock):
    """Return the lines of a lock that pin what builds the others."""
    kept, wanted = [], False
    for line in lock.splitlines():
        if not line.startswith(" "):
            wanted = line.split("=")[0] in ("setuptools", "wheel")
        if wanted:
            kept.append(line)
    return "\n".join(kept) + "\n"


def install_plugin(folder, log):
    """Install the plugin from a copy: building leaves traces beside its source."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "plugin"
        ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
        copy.mkdir()
        shutil.copytree(str(HERE / "cryoferry_scipion"), str(copy / "cryoferry_scipion"), ignore=ignored)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(str(HERE / name), str(copy / name))
        pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
        run([*pip, "--no-index", "--force-reinstall", str(copy)], log)


def configure(folder, log):
    """Write Scipion's configuration; its reports to its makers, which are on by default, are switched off."""
    variables = environment(folder)
    config = Path(variables["SCIPION_CONFIG"])
    config.parent.mkdir(parents=True, exist_ok=True)
    (folder / "user-data").mkdir(exist_ok=True)
    run([variables["SCIPION_PYTHON"], "-m", "scipion", "config", "--unattended"], log, variables)
    lines = config.read_text(encoding="utf-8").splitlines()
    lines = ["SCIPION_NOTIFY = False" if line.startswith("SCIPION_NOTIFY ") else line for line in lines]
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")


def know_home(folder):
    """Let the environment's interpreter find its Scipion by itself, however it is started."""
    (site_packages,) = (folder / "venv" / "lib").glob("python3.*/site-packages")
    line = f"import os; [os.environ.setdefault(*item) for item in {environment(folder)!r}.items()]\n"
    (site_packages / "cryoferry_scipion_home.pth").write_text(line, encoding="utf-8")


def check(folder):
    """Return what the plugin's bridge says in the new environment."""
    variables = environment(folder)
    done = subprocess.run(
        [variables["SCIPION_PYTHON"], "-m", "cryoferry_scipion.bridge"],
        input=b'{"do": "check"}',
        stdout=subprocess.PIPE,
        env={**os.environ, **variables},
        timeout=300,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1].decode())


def write_description(folder):
    """Say that the installation is complete; the receiver reads this description."""
    description = {
        "python": environment(folder)["SCIPION_PYTHON"],
        "environment": environment(folder),
        "fingerprint": fingerprint(),
        "lock": lock_digest(),
    }
    temporary = folder / (DESCRIPTION + ".new")
    temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    temporary.replace(folder / DESCRIPTION)


def write_launcher(folder):
    """Write DIR/scipion: Scipion's own command with its variables set, and three more for a project's folder."""
    lines = ["#!/bin/sh", "# scipion open|pictures|ctfs PROJECT; all else is Scipion's own command."]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in environment(folder).items()]
    lines += [f"export PATH={shlex.quote(str(folder / 'venv' / 'bin'))}:$PATH"]  # `scipion python` runs `python`
    lines += [
        'case "$1" in',
        '  open|pictures|ctfs) exec "$SCIPION_PYTHON" -O -m cryoferry_scipion.desktop "$@" ;;',
        '  *) exec "$SCIPION_PYTHON" -m scipion "$@" ;;',
        "esac",
    ]
    launcher = folder / "scipion"
    launcher.write_text("\n".join(lines) + "\n", encoding="utf-8")
    launcher.chmod(0o755)


def install(folder, interpreter):
    """Make or complete the environment."""
    old = description_of(folder)
    if old and old.get("fingerprint") == fingerprint():
        return
    keep_venv = old is not None and old.get("lock") == lock_digest()
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        (folder / DESCRIPTION).unlink()
    with open(str(folder / "install.log"), "ab") as log:
        if not keep_venv:
            say(f"Installing Scipion into {folder} with {interpreter} (one or two minutes) …")
            install_dependencies(folder, interpreter, log)
        install_plugin(folder, log)
        configure(folder, log)
        know_home(folder)
    found = check(folder)
    write_launcher(folder)
    write_description(folder)
    say("Scipion is ready: pyworkflow {pyworkflow}, scipion-em {pwem}, plugin {plugin}.".format(**found))


def arguments():
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", required=True, metavar="DIR", help="where the environment is made")
    parser.add_argument("--python", metavar="PYTHON", help="the interpreter to use, 3.8 to 3.12")
    return parser.parse_args()


def main():
    """Run the installation; return the exit code."""
    wanted = arguments()
    folder = Path(wanted.to).expanduser().resolve()
    old = description_of(folder)
    if old and old.get("fingerprint") == fingerprint():
        return 0
    interpreter, bare = find_python(wanted.python)
    if interpreter is None:
        say(why_none(wanted.python, bare))
        return 3
    try:
        install(folder, interpreter)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
        say(f"{failure}\nScipion could not be installed; see {folder / 'install.log'}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

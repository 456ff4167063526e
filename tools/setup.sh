#!/bin/sh
# Makes .venv and installs Tunesmith in it with the pinned versions.
#
#     sh tools/setup.sh quickstart        # to use it
#     sh tools/setup.sh quickstart,dev    # to work on it
#
# A .venv that is already there is used and brought up to date. PYTHON chooses the interpreter.
set -eu
cd "$(dirname "$0")/.."
extras=${1:-quickstart}
needs="Tunesmith needs Python 3.11 or newer"

say() { printf '%s\n' "$*" >&2; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }
minor() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

# The line that installs a Python (no argument), or venv for the Python of version $1, on this system.
install_line() {
    case "$(uname -s)" in Darwin) echo "brew install python@3.13"; return ;; esac
    family=$(sed -n 's/^ID=//p; s/^ID_LIKE=//p' "${OS_RELEASE:-/etc/os-release}" 2>/dev/null | tr -d '"' | tr '\n' ' ')
    case " $family " in
        *" debian "* | *" ubuntu "*)
            if [ $# -gt 0 ]; then echo "apt-get install python$1-venv"; else echo "apt-get install python3 python3-venv"; fi ;;
        *" fedora "* | *" rhel "* | *" centos "*)
            if [ $# -gt 0 ]; then echo "dnf install python3"; else echo "dnf install python3.12"; fi ;;
        *" alpine "*) echo "apk add python3 py3-pip" ;;
        *" suse "* | *" opensuse "*) echo "zypper install python312" ;;
        *" arch "*) echo "pacman -S python" ;;
        *) echo "see https://www.python.org/downloads/" ;;
    esac
}

# Prints a Python that is new enough and can make environments; explains itself when there is none.
find_python() {
    lacking= old=
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python}; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        if ! new_enough "$candidate"; then
            version=$(minor "$candidate" 2>/dev/null) || continue
            old=${old:-$version}
        elif has_venv "$candidate"; then
            echo "$candidate"
            return
        else
            lacking=${lacking:-$(minor "$candidate")}
        fi
    done
    if [ -n "$lacking" ]; then
        say "Python $lacking is here, but its venv module is not. Install it, then run make again:"
        say "    $(install_line "$lacking")"
    elif [ -n "$old" ]; then
        say "$needs; the one here is $old. Install a newer one, then run make again:"
        say "    $(install_line)"
        say "Or name one that is somewhere else: make PYTHON=/path/to/python3.12 ..."
    else
        say "$needs, and there is no Python here. Install it, then run make again:"
        say "    $(install_line)"
    fi
    return 1
}

if [ -e .venv/bin/python ] && "$PWD/.venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! new_enough .venv/bin/python; then
        say "$needs, and .venv holds $(minor .venv/bin/python). Delete the folder .venv, then run make again."
        exit 1
    fi
else
    python=$(find_python)
    say "Making .venv with Python $(minor "$python")"
    "$python" -m venv --clear .venv
fi

say "Installing tunesmith[$extras] into .venv with the versions of constraints.txt (minutes, the first time)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
    --editable ".[$extras]"

touch .venv/.quickstart
case ",$extras," in *,dev,*) touch .venv/.dev ;; esac

#!/bin/sh
# Checks what make needs before it builds anything, and says how to get what is missing.
#
#   needs.sh build   Python, its venv module, Rust and a linker
#   needs.sh venv    that .venv, if there is one, still works
#   needs.sh go      Go, for the tools of tests, linters and benchmarks
#   needs.sh node    Node and npm, for tests
#   needs.sh fuzz    a compiler of C++, for libFuzzer
#
# PYTHON names the Python to make .venv with; python3 unless it is set.
set -u

python=${PYTHON:-python3}
python_min=$(sed -n 's/^requires-python = ">=\(.*\)"$/\1/p' pyproject.toml)
rust_min=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
missing=0

# Says what is missing, and on the next line how to get it.
lacks() {
    printf '%s\n    %s\n' "$1" "$2" >&2
    missing=1
}

# Whether version $1 is at least version $2, as far as the first two numbers say.
at_least() {
    given_major=${1%%.*} given_rest=${1#*.}
    least_major=${2%%.*} least_minor=${2#*.}
    given_minor=${given_rest%%.*}
    [ "$given_major" -gt "$least_major" ] ||
        { [ "$given_major" -eq "$least_major" ] && [ "$given_minor" -ge "$least_minor" ]; }
}

version_of_python() {
    "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2> /dev/null
}

# A newer Python on the PATH than the one that was asked for.
other_python() {
    for minor in 16 15 14 13 12 11; do
        found=$(version_of_python "python3.$minor") && at_least "$found" "$python_min" &&
            { echo "python3.$minor"; return; }
    done
    return 1
}

check_python() {
    get="install Python $python_min or newer, such as python3 and python3-venv of Debian and Ubuntu; see https://www.python.org/downloads/"
    if other=$(other_python); then
        get="run make with PYTHON=$other, which is there"
    fi
    if ! version=$(version_of_python "$python"); then
        lacks "Python: there is no $python that runs; $python_min or newer is needed" "$get"
    elif ! at_least "$version" "$python_min"; then
        lacks "Python: $python is $version; $python_min or newer is needed" "$get"
    elif ! "$python" -c 'import ensurepip, venv' > /dev/null 2>&1; then
        lacks "Python: $python $version cannot make virtual environments: it has no venv and ensurepip" \
            "install them, such as with: apt install python${version%.*}-venv"
    fi
}

check_rust() {
    get="install Rust $rust_min or newer; see https://rustup.rs"
    for program in rustc cargo; do
        # Such as: rustc 1.90.0 (1159e78c4 2025-09-14)
        if ! said=$("$program" --version 2> /dev/null); then
            lacks "Rust: there is no $program that runs; $rust_min or newer is needed" "$get"
            return
        fi
        version=$(echo "$said" | cut -d ' ' -f 2)
        if ! at_least "$version" "$rust_min"; then
            command -v rustup > /dev/null && get="run: rustup update"
            lacks "Rust: $program is $version; $rust_min or newer is needed" "$get"
            return
        fi
    done
}

check_linker() {
    command -v cc > /dev/null ||
        lacks "C linker: there is no cc, which Rust links with" \
            "install one, such as with: apt install gcc libc6-dev, or xcode-select --install"
}

check_venv() {
    # A link to a Python that is gone is no file.
    [ -e .venv/bin/python ] || [ -L .venv/bin/python ] || return 0
    get="run: make clean, and then this again"
    if ! version=$(version_of_python .venv/bin/python); then
        lacks ".venv: its Python does not run; the one that it was made with is gone or has changed" "$get"
    elif ! at_least "$version" "$python_min"; then
        lacks ".venv: it was made with Python $version; $python_min or newer is needed" "$get"
    elif ! [ -x "$(sed -n '1s/^#! *\([^ ]*\).*/\1/p' .venv/bin/pip 2> /dev/null)" ]; then
        lacks ".venv: it lacks pip, or was made in another folder" "$get"
    fi
}

check_go() {
    command -v go > /dev/null ||
        lacks "Go: there is no go, which builds the tools of tests and linters, and the load generator of the benchmarks" \
            "install it; see https://go.dev/doc/install"
}

check_node() {
    for program in node npm; do
        command -v "$program" > /dev/null ||
            lacks "Node: there is no $program; the tests run the clients of Node" \
                "install it; see https://nodejs.org"
    done
}

check_cxx() {
    command -v c++ > /dev/null ||
        lacks "C++: there is no c++, which compiles libFuzzer" \
            "install one, such as with: apt install g++, or xcode-select --install"
}

case $1 in
build)
    check_python
    check_rust
    check_linker
    ;;
venv) check_venv ;;
go) check_go ;;
node) check_node ;;
fuzz) check_cxx ;;
*) lacks "needs.sh: $1 is none of build, venv, go, node and fuzz" "name one of them" ;;
esac
exit $missing

#!/bin/sh
# Prints a Python that can run Souk: 3.11 to 3.13, with venv. It tries the one it is given, or else the usual names.
# A name is believed only after it has run: shims of version managers exist without a Python behind them.
probe='import sys, venv, ensurepip
if not (3, 11) <= sys.version_info[:2] <= (3, 13): sys.exit("is Python %d.%d" % sys.version_info[:2])
print(sys.executable)'

tried=""
for name in ${1:-python3.13 python3.12 python3.11 python3}; do
    if ! command -v "$name" >/dev/null 2>&1; then
        tried="$tried
  $name: not found"
    elif found=$("$name" -c "$probe" 2>&1); then
        printf '%s\n' "$found"
        exit 0
    else
        tried="$tried
  $name: $(printf '%s\n' "$found" | grep -m 1 -E '^is |Error:|not found' || echo "does not run")"
    fi
done
cat >&2 <<END
Expected Python 3.11, 3.12 or 3.13 with its venv module. Tried:$tried
Install one (Debian and Ubuntu: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3.12 ...
END
exit 1

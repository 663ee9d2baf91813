#!/bin/sh
# Prints a Python for the drift detector: 3.11 or 3.12 with venv, for numpy 1.26 has no wheel for Python 3.13. It tries
# the one it is given, or else that of .tools/uv and the usual names. A name is believed only after it has run.
probe='import sys, venv, ensurepip
if sys.version_info[:2] not in ((3, 11), (3, 12)): sys.exit("is Python %d.%d" % sys.version_info[:2])
print(sys.executable)'

tried=""
for name in ${1:-.tools/uv/bin/python python3.12 python3.11 python3}; do
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
Expected Python 3.11 or 3.12 for the drift detector. Tried:$tried
The detector is optional; everything else of Souk works without it. To have it, install one of them, or name it:
make DRIFT_PYTHON=/path/to/python3.12 ...
END
exit 1

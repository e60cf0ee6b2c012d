#!/bin/sh
# A regression test for bug 14042: the kernel with the bug must show it (or this test
# tests nothing), the kernel with the fix must not, and its memory map must stay.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
configs=$here/../configs
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

status=0
"$here/guard-vm-shape.sh" "$configs/testvm-13932.yaml" 1 >panic.log 2>&1 || status=$?
if [ "$status" -ne 3 ]; then
    echo "FAIL: 13932 no longer panics (exit status $status)"
    exit 1
fi
grep -q 'assertion failed: ptes\[i\] == 0 (0xe23cd7067 == 0x0)' panic.log
"$here/guard-vm-shape.sh" "$configs/testvm.yaml" 20

export BHYVESIM_STATE_DIR="$work/state"
bhyvesim create --config "$configs/testvm.yaml"
bhyvesim --vm=testvm --get-memmap >before.txt
bhyvesim reboot
bhyvesim --vm=testvm --get-memmap >after.txt
cmp before.txt after.txt
bhyvesim destroy
echo 'bug 14042 stays fixed'

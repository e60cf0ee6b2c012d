#!/bin/sh
# The story of illumos bug 14042, told by two simulated kernels.
set -eu
cd "$(dirname "$0")/.."
BHYVESIM_STATE_DIR=$(mktemp -d)
export BHYVESIM_STATE_DIR
trap 'rm -rf "$BHYVESIM_STATE_DIR"' EXIT

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
run() { printf '$ %s\n' "$*"; "$@" 2>&1; }

say '1. A guest with 8 GiB, on the kernel where the bug is fixed'
echo 'Its boot ROM ends at 4 GiB, where the upper part of its RAM begins:'
run bhyvesim create --config configs/testvm.yaml
run bhyvesim --vm=testvm --get-memmap

say '2. A reboot unmaps the ROM, and nothing else'
run bhyvesim reboot
run bhyvesim destroy

say '3. The same guest on the kernel that has the bug'
echo 'Revision 13932 takes ranges as closed: it unmaps [0xffe00000, 0x100000000], and so'
echo 'zeroes the first page of RAM above the ROM. Then it wants to free the page table of'
echo 'that page, and asserts that it is empty. It is not: 511 pages of RAM are left in it.'
run bhyvesim create --config configs/testvm-13932.yaml
status=0
run bhyvesim reboot || status=$?
echo "exit status $status"
[ "$status" -eq 3 ]

say '4. What the host would have left behind'
run bhyvesim list
run bhyvesim crash show --format fma

say '5. On a production kernel the ASSERT is not there: nothing panics, pages get lost'
run bhyvesim destroy
run bhyvesim create --config configs/production-13932.yaml
run bhyvesim reboot
run bhyvesim destroy

say 'That is bug 14042. The fix: ranges that end before their end, as everywhere else.'

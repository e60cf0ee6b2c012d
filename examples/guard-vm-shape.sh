#!/bin/sh
# Fail a CI job when a VM shape panics its host, or loses pages, on the kernel that it names.
# Usage: guard-vm-shape.sh VM.yaml [REBOOTS]
set -eu
config=$1
reboots=${2:-3}
BHYVESIM_STATE_DIR=$(mktemp -d)
export BHYVESIM_STATE_DIR
trap 'rm -rf "$BHYVESIM_STATE_DIR"' EXIT

status=0
bhyvesim create --config "$config" --vm guarded || status=$?
i=0
while [ "$status" -eq 0 ] && [ "$i" -lt "$reboots" ]; do
    i=$((i + 1))
    bhyvesim reboot --format json >"$BHYVESIM_STATE_DIR/reboot.json" || status=$?
    if [ "$status" -eq 0 ] && ! grep -q '"lost": \[\]' "$BHYVESIM_STATE_DIR/reboot.json"; then
        echo "FAIL: $config loses pages at a reboot"
        exit 1
    fi
done
[ "$status" -ne 0 ] || bhyvesim destroy || status=$?

case $status in
    0) echo "ok: $config lives through $reboots reboots" ;;
    3) echo "FAIL: $config panics or hangs its host"; bhyvesim crash show ;;
    *) echo "FAIL: $config: exit status $status" ;;
esac
exit "$status"

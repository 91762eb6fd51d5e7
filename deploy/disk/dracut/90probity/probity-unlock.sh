#!/bin/sh
# Runs each time that the network comes up. Disks that are open are passed over.
disks=${PROBITY_DISKS:-/etc/probity/disks.json}
[ -d /sys/kernel/config/tsm ] || mount -t configfs configfs /sys/kernel/config 2>/dev/null
for name in $(probity disk list --config "$disks" --names); do
	[ -e "/dev/mapper/$name" ] && continue
	probity disk unlock --config "$disks" --name "$name" ||
		echo "probity: $name is not opened; it is tried again when the network changes" >&2
done

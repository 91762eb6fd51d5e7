#!/bin/bash
# The module of dracut that opens the disks of /etc/probity/disks.json.

check() {
	require_binaries probity cryptsetup || return 1
	[[ -e ${dracutsysrootdir-}/etc/probity/disks.json ]] && return 0
	return 255
}

depends() {
	echo crypt network
	return 0
}

installkernel() {
	instmods dm_crypt tsm sev-guest tdx-guest configfs tpm_crb tpm_tis
}

install() {
	local disks=${dracutsysrootdir-}/etc/probity/disks.json file
	if ! probity disk list --config "$disks" >/dev/null; then
		dfatal "probity: $disks is not what unlock reads"
		return 1
	fi
	inst_multiple probity cryptsetup sleep
	inst_simple "$disks" /etc/probity/disks.json
	while read -r file; do
		inst_simple "$file" || {
			dfatal "probity: $disks names $file, which cannot be copied"
			return 1
		}
	done < <(probity disk list --config "$disks" --files)
	inst_multiple -o /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt
	inst_hook initqueue/online 60 "$moddir/probity-unlock.sh"
	mkdir -p "$initdir/etc/cmdline.d"
	echo rd.neednet=1 >"$initdir/etc/cmdline.d/90-probity.conf"
	dracut_need_initqueue
}

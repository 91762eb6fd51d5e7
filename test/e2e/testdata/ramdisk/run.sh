#!/bin/bash
# Makes an initial RAM disk with Debian's own tools and opens a disk image in it: run.sh TOOL WORK DEPLOY PROGRAM.
# It runs in a mount namespace of its own, so that nothing of this machine is changed: what it
# installs is in a layer over /usr and /etc. WORK has disks.json, ca.pem and disk.img.
set -euo pipefail
tool=$1 work=$2 deploy=$3 program=$4

mkdir -p "$work/layers" "$work/root"
mount -t tmpfs layers "$work/layers"
for folder in /usr /etc; do
	mkdir -p "$work/layers$folder/upper" "$work/layers$folder/work"
	mount -t overlay over \
		-o "lowerdir=$folder,upperdir=$work/layers$folder/upper,workdir=$work/layers$folder/work" $folder
done
install -m 755 "$program" /usr/bin/probity
install -D "$work/disks.json" /etc/probity/disks.json
install -D "$work/ca.pem" /etc/probity/ca.pem

case $tool in
initramfs-tools)
	mkdir -p /usr/lib/modules/5.0
	: >/usr/lib/modules/5.0/modules.order
	: >/usr/lib/modules/5.0/modules.builtin
	mount -t tmpfs boot /boot
	echo CONFIG_RD_GZIP=y >/boot/config-5.0
	cp -r "$deploy/initramfs-tools/." /usr/share/initramfs-tools/
	mkinitramfs -c gzip -o "$work/image" 5.0
	unmkinitramfs "$work/image" "$work/root"
	;;
dracut)
	cp -r "$deploy/dracut/." /usr/lib/dracut/modules.d/
	dracut --no-kernel --no-hostonly --conf /dev/null --confdir "$work/root" -m probity --force "$work/image" 5.0
	(cd "$work/root" && lsinitrd --unpack "$work/image")
	cat "$work/root/etc/cmdline.d/90-probity.conf"
	;;
esac
cd "$work/root"
cmp etc/probity/disks.json "$work/disks.json"
cmp etc/probity/ca.pem "$work/ca.pem"

# There is no device mapper for tests: unlock tries the passphrase alone.
mv usr/bin/probity usr/bin/probity-itself
cat >usr/bin/probity <<'END'
#!/bin/sh
case "$1 $2" in
"disk unlock") exec probity-itself "$@" --test-passphrase ;;
esac
exec probity-itself "$@"
END
chmod 755 usr/bin/probity
mkdir -p proc dev tmp encrypted
mount -t proc proc proc
mount --bind /dev dev
cp "$work/disk.img" encrypted/disk.img
printf '. /scripts/functions\nconfigure_networking() { echo network is configured; }\n' >tmp/functions
case $tool in
initramfs-tools) script=/scripts/local-top/probity ;;
dracut) script=/usr/lib/dracut/hooks/initqueue/online/60-probity-unlock.sh ;;
esac
unlock() {
	quiet=n PATH=/usr/sbin:/usr/bin:/sbin:/bin PROBITY_SCRIPT_FUNCTIONS=/tmp/functions PROBITY_TRIES=2 PROBITY_PAUSE=0 \
		chroot . /bin/sh "$script"
}
echo "== the disk as it is"
unlock
echo "== another key"
sed -i 's/0123456789abcdef/fedcba9876543210/' etc/probity/disks.json
unlock
echo "== a changed header"
printf X | dd of=encrypted/disk.img bs=1 seek=30 conv=notrunc status=none
unlock

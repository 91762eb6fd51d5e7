#!/bin/sh
# Makes a Debian package of the command, the units of the service and the agent, and
# the documentation: deploy/package.sh FOLDER. The program must be there: FOLDER/probity.
set -eu
out=$(mkdir -p "${1:?name the folder}" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
command -v dpkg-deb > /dev/null || { echo "dpkg-deb not found: it comes with Debian and Ubuntu (package dpkg)" >&2; exit 1; }

# A Go version such as v1.2.0 or v0.0.0-20260102030405-abcdef+dirty, as Debian orders it.
version=$("$out/probity" version | sed -n '1{s/^probity v\{0,1\}//; s/^\([^0-9]\)/0.0.0~\1/; s/-/~/; s/-/./g; p;}')
arch=$(go env GOARCH)
test "$arch" != arm || arch=armhf

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
put() { install -D -m "$1" "$2" "$root/$3"; }
put 755 "$out/probity" usr/bin/probity
for unit in probity probity-agent; do
  put 644 "deploy/systemd/$unit.service" "usr/lib/systemd/system/$unit.service"
  sed -i 's#/usr/local/bin/probity#/usr/bin/probity#' "$root/usr/lib/systemd/system/$unit.service"
done
for pin in encrypt decrypt; do
  put 755 "deploy/disk/clevis/clevis-$pin-probity" "usr/bin/clevis-$pin-probity"
done
put 755 deploy/disk/initramfs-tools/hooks/probity usr/share/initramfs-tools/hooks/probity
put 755 deploy/disk/initramfs-tools/scripts/local-top/probity usr/share/initramfs-tools/scripts/local-top/probity
for part in module-setup probity-unlock; do
  put 755 "deploy/disk/dracut/90probity/$part.sh" "usr/lib/dracut/modules.d/90probity/$part.sh"
done
put 644 deploy/systemd/probity.sysusers usr/lib/sysusers.d/probity.conf
put 644 deploy/probity.json usr/share/doc/probity/examples/probity.json
put 644 LICENSE usr/share/doc/probity/copyright
"$out/probity" man --out "$root/usr/share/man/man1"
chmod 644 "$root"/usr/share/man/man1/*.1
gzip -9n "$root"/usr/share/man/man1/*.1
for shell in bash zsh fish; do
  "$out/probity" completion "$shell" > "$out/completion.$shell"
done
put 644 "$out/completion.bash" usr/share/bash-completion/completions/probity
put 644 "$out/completion.zsh" usr/share/zsh/vendor-completions/_probity
put 644 "$out/completion.fish" usr/share/fish/vendor_completions.d/probity.fish
rm "$out"/completion.*
for page in README.md CHANGELOG.md $(find docs -type f | sort); do
  put 644 "$page" "usr/share/doc/probity/$page"
done

mkdir "$root/DEBIAN"
cat > "$root/DEBIAN/control" <<END
Package: probity
Version: $version
Architecture: $arch
Maintainer: Probity <https://github.com/probity-dev/probity>
Installed-Size: $(du -sk "$root/usr" | cut -f1)
Section: admin
Priority: optional
Recommends: ca-certificates
Suggests: cryptsetup-bin, clevis
Homepage: https://github.com/probity-dev/probity
Description: remote attestation service, command and agent
 Verifies evidence of trusted execution environments and TPMs, judges it by a
 policy, and answers with a signed token or with the reason why not.
END
cat > "$root/DEBIAN/postinst" <<'END'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
  if command -v systemd-sysusers > /dev/null; then
    systemd-sysusers probity.conf
  elif ! getent passwd probity > /dev/null; then
    useradd --system --user-group --home-dir /var/lib/probity-service --shell /usr/sbin/nologin probity
  fi
  install -d -o root -g probity -m 0750 /etc/probity
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl try-restart probity.service probity-agent.service
  fi
fi
END
cat > "$root/DEBIAN/prerm" <<'END'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now probity.service probity-agent.service
fi
END
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm"
file="$out/probity_${version}_$arch.deb"
dpkg-deb --root-owner-group --build "$root" "$file" > /dev/null
echo "$file"

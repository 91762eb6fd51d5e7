#!/bin/sh
# Installs what the tests need and this machine lacks. Debian packages are
# installed where we are root; elsewhere their absence is named.
set -eu
cd "$(dirname "$0")/interop"

need() { # need PROGRAM PACKAGE...
	command -v "$1" >/dev/null 2>&1 && return
	program=$1
	shift
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "installing $*"
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
	else
		echo "$program is missing: install $*" >&2
		exit 1
	fi
}

need node nodejs
need npm npm
need python3 python3 python3-venv
need javac default-jdk-headless
need mvn maven
need swtpm swtpm
need swtpm_setup swtpm-tools
need haproxy haproxy
need cryptsetup cryptsetup-bin
need clevis clevis
need jose jose
need mkinitramfs initramfs-tools-core
need dracut dracut-core dracut-network
need softhsm2-util softhsm2
need gcc gcc libc6-dev
need zsh zsh
need fish fish
need groff groff-base
[ -r /usr/share/bash-completion/bash_completion ] || need bash-completion bash-completion
need tpm2_quote tpm2-tools libtss2-tcti-swtpm0
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need initdb postgresql

# A stamp of the lock file tells whether the packages are those it names.
stamp=js/node_modules/.stamp
if [ ! -f "$stamp" ] || ! cmp -s js/package-lock.json "$stamp"; then
	echo "installing Node packages"
	(cd js && npm ci --no-audit --no-fund --silent)
	cp js/package-lock.json "$stamp"
fi
for folder in python contract ../thirdparty; do
	stamp=$folder/.venv/.stamp
	if [ ! -f "$stamp" ] || ! cmp -s $folder/requirements.txt "$stamp"; then
		echo "installing Python packages ($folder)"
		rm -rf $folder/.venv
		python3 -m venv $folder/.venv || { need no-such-program python3-venv; python3 -m venv $folder/.venv; }
		$folder/.venv/bin/pip install --quiet --disable-pip-version-check -r $folder/requirements.txt
		cp $folder/requirements.txt "$stamp"
	fi
done

# The tests run Maven offline: all that pom.xml names is fetched here.
stamp=java/.stamp
if [ ! -f "$stamp" ] || ! cmp -s java/pom.xml "$stamp"; then
	echo "installing Maven packages"
	(cd java && mvn --batch-mode --quiet -DskipTests test)
	cp java/pom.xml "$stamp"
fi

step=v0.30.2
bin=$(cd .. && pwd)/thirdparty/bin
if [ ! -x "$bin/step-ca" ] || [ "$(cat "$bin/.version" 2>/dev/null)" != "$step" ]; then
	echo "building step-ca, which takes minutes"
	CGO_ENABLED=0 GOBIN="$bin" ${GO:-go} install "github.com/smallstep/certificates/cmd/step-ca@$step"
	echo "$step" >"$bin/.version"
fi

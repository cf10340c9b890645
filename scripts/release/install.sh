#!/bin/sh
# Installs the command line of Portcullis on this machine, for this user. Nothing needs root.
#
#   curl -fsSLO ADDRESS/install.sh && sh install.sh
#
# PORTCULLIS_PREFIX    where to: bin/ and lib/portcullis/ below it (default: ~/.local)
# PORTCULLIS_DOWNLOAD  address of a folder with the files of the same release, such as a mirror inside your company
# PORTCULLIS_VERIFY    `signature`: fail where cosign is missing; `checksums`: never ask cosign, which has to reach
#                      Sigstore; default: check the signature where cosign is there
#
# Every file is checked against SHA256SUMS before anything of it is unpacked. Where cosign is there, SHA256SUMS has to be
# signed by the release workflow of the repository below, for this version: nothing else is accepted.
set -eu

# scripts/release-manifests.ts writes these three lines.
repository='OWNER/NAME'
version='0.0.0'
download="${PORTCULLIS_DOWNLOAD:-}"

# All of it is in functions, so that a download that ends early runs nothing.
fail() {
  printf 'install.sh: %s\n' "$1" >&2
  [ $# -lt 2 ] || printf '  Next: %s\n' "$2" >&2
  exit 1
}

has() {
  command -v "$1" >/dev/null 2>&1
}

# An attacker on the network answers plain http, so only https is taken; a mirror on this very machine is not on it.
check_address() {
  case $download in
    https://*) protocols='=https' ;;
    http://*@*) fail "not an https address: $download" 'set PORTCULLIS_DOWNLOAD to an address that begins with https://' ;;
    http://127.0.0.1:* | http://localhost:*) protocols='=http' ;;
    *) fail "not an https address: $download" 'set PORTCULLIS_DOWNLOAD to an address that begins with https://' ;;
  esac
}

# fetch NAME: to the temporary folder. By curl alone: wget follows a server from https to http, and the one of BusyBox may
# check no certificate.
fetch() {
  has curl || fail 'curl is not here' 'install it'
  curl --proto "$protocols" --tlsv1.2 --fail --silent --show-error --location --output "$work/$1" "$download/$1" ||
    fail "cannot download $download/$1" 'check the address and your proxy (HTTPS_PROXY), then try again'
}

sum_of() {
  if has sha256sum; then
    sha256sum "$1" | cut -d ' ' -f 1
  elif has shasum; then
    shasum -a 256 "$1" | cut -d ' ' -f 1
  else
    fail 'neither sha256sum nor shasum is here' 'install coreutils or perl'
  fi
}

# The sum of a file by SHA256SUMS, which lists each once; empty where it is not there.
listed_sum() {
  awk -v name="$1" '$2 == name && length($1) == 64 { print $1; n++ } END { exit n > 1 }' "$work/SHA256SUMS"
}

check_signature() {
  case ${PORTCULLIS_VERIFY:-} in
    checksums) return ;;
    '' | signature) ;;
    *) fail "PORTCULLIS_VERIFY is neither signature nor checksums: $PORTCULLIS_VERIFY" ;;
  esac
  if ! has cosign; then
    [ -z "${PORTCULLIS_VERIFY:-}" ] || fail 'cosign is not here, and PORTCULLIS_VERIFY=signature needs it' 'install cosign 2.4 or newer'
    printf 'install.sh: cosign is not here, so the signature is not checked, only the checksums\n' >&2
    return
  fi
  fetch SHA256SUMS.sigstore.json
  cosign verify-blob --new-bundle-format --bundle "$work/SHA256SUMS.sigstore.json" \
    --certificate-oidc-issuer https://token.actions.githubusercontent.com \
    --certificate-identity "https://github.com/$repository/.github/workflows/release.yml@refs/tags/v$version" \
    "$work/SHA256SUMS" >"$work/cosign.log" 2>&1 || {
    cat "$work/cosign.log" >&2
    fail 'SHA256SUMS is not signed by the release workflow, or cosign cannot tell; nothing was installed' 'report it where you got this script from; where cosign cannot reach Sigstore, PORTCULLIS_VERIFY=checksums does without'
  }
}

# The executables need glibc, whose loader has this name on each distribution.
has_glibc() {
  [ -e /lib64/ld-linux-x86-64.so.2 ] || [ -e /lib/ld-linux-aarch64.so.1 ]
}

has_node() {
  has node && [ "$(node --print 'Number(process.versions.node.split(".")[0]) >= 24' 2>/dev/null)" = true ]
}

# Sets `archive`: the one for this machine with Node inside, else the one for any machine that has Node.
choose_archive() {
  system=$(uname -s | tr '[:upper:]' '[:lower:]')
  case $(uname -m) in
    x86_64 | amd64) processor=x64 ;;
    aarch64 | arm64) processor=arm64 ;;
    *) processor=unknown ;;
  esac
  archive="portcullis-$version-$system-$processor.tar.gz"
  { [ "$system" != linux ] || has_glibc; } && [ -n "$(listed_sum "$archive")" ] && return
  archive="portcullis-$version.tgz"
  case $system in linux | darwin) ;; *) fail "there is no package for $system" 'see docs/install-cli.md for other systems' ;; esac
  has_node || fail "version $version has no package with Node inside for $system on $(uname -m)" 'install Node 24 or newer, then run this again'
  [ -n "$(listed_sum "$archive")" ] || fail "SHA256SUMS does not list $archive" 'report it where you got this script from'
}

check_archive() {
  wanted=$(listed_sum "$archive") || fail "SHA256SUMS lists $archive twice" 'report it where you got this script from'
  found=$(sum_of "$work/$archive")
  [ "$wanted" = "$found" ] || fail "$archive is not the file of the release: its SHA-256 is $found, not $wanted; nothing was installed" \
    'try again; if it stays so, report it where you got this script from'
}

# The new program has to start before it replaces the old one, each file in one step.
install_files() {
  mkdir "$work/new"
  tar -xzf "$work/$archive" -C "$work/new"
  new="$work/new"
  [ ! -d "$new/package" ] || new="$new/package"
  said=$("$new/bin/portcullis" --version) || fail "the program of $archive does not start on this machine; nothing was installed" 'see docs/install-cli.md for what it needs'
  [ "$said" = "portcullis $version" ] || fail "the program of $archive says that it is: $said; nothing was installed"
  mkdir -p "$prefix/bin" "$prefix/lib/portcullis"
  for file in "$new"/lib/portcullis/* "$new"/bin/*; do
    target="$prefix/${file#"$new/"}"
    # mv would move the file into it.
    [ ! -d "$target" ] || fail "$target is a folder; nothing was installed" 'move it away, then try again'
  done
  # The front takes an executable before a script, so one of an earlier version must not stay beside a new script.
  [ -e "$new/lib/portcullis/portcullis" ] || rm -f "$prefix/lib/portcullis/portcullis"
  for file in "$new"/lib/portcullis/* "$new"/bin/*; do
    mv -f "$file" "$prefix/${file#"$new/"}"
  done
}

main() {
  # Where the umask lets a group write, another user of it could replace the program.
  umask go-w
  prefix=${PORTCULLIS_PREFIX:-${HOME:?}/.local}
  case $prefix in /*) ;; *) fail "not an absolute path: $prefix" 'set PORTCULLIS_PREFIX to one' ;; esac
  check_address
  { mkdir -p "$prefix" && [ -w "$prefix" ]; } 2>/dev/null || fail "cannot write to $prefix" 'set PORTCULLIS_PREFIX to a folder of yours; do not use sudo'
  # On the same file system as its target, and for this user alone.
  work=$(mktemp -d "$prefix/.portcullis-install.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM HUP
  fetch SHA256SUMS
  check_signature
  choose_archive
  fetch "$archive"
  check_archive
  install_files
  printf 'Installed portcullis %s in %s.\n' "$version" "$prefix/bin"
  case ":${PATH:-}:" in
    *":$prefix/bin:"*) ;;
    *) printf 'It is not on your PATH yet. Add this line to the profile of your shell:\n  export PATH="%s/bin:%s"\n' "$prefix" "\$PATH" ;;
  esac
}

main "$@"

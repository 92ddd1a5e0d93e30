#!/bin/sh
# Makes the secrets that docker-compose.yml hands to the containers as files, in deploy/secrets. What is there stays.
#
# The folder is its owner's alone. The files in it can be read by anybody who gets to them, since a file is mounted into a
# container with the owner and the mode that it has here, and each container has a user of its own.
set -eu
umask 022
folder="$(cd "$(dirname "$0")" && pwd)/secrets"
mkdir -p "$folder"
chmod 700 "$folder"

random() { head -c 32 /dev/urandom | base64 | tr -d '\n'; }

make() { # name, text
  if [ -s "$folder/$1" ]; then
    echo "kept  deploy/secrets/$1"
    return
  fi
  # Whole or not at all.
  printf '%s\n' "$2" > "$folder/.$1.new"
  mv "$folder/.$1.new" "$folder/$1"
  echo "made  deploy/secrets/$1"
}

make database_password "$(random)"
make grafana_password "$(random)"
# The keys of credentials: keep a copy, and not beside the copies of the database (docs/secrets.md).
make sealing_keys "k$(date -u +%Y%m%d%H%M%S):$(random)"

#!/bin/sh
# Makes the secrets that an overlay's secretGenerator takes, in its folder `secrets`. What is there stays, but that
# `--renew-tokens` makes the processes' tokens anew.
#
#   deploy/kubernetes/secrets.sh deploy/kubernetes/overlays/example
#
# In `secrets/identity` are the keys that sign tokens. They stay here: no pod gets them. Keep a copy of the folder.
set -eu
umask 077
here="$(cd "$(dirname "$0")" && pwd)"
intertie="${INTERTIE:-$here/../../.venv/bin/intertie}"
days="${TOKEN_DAYS:-365}"
overlay="${1:?name an overlay, as in: $0 deploy/kubernetes/overlays/example}"
folder="$(cd "$overlay" && pwd)/secrets"
mkdir -p "$folder/identity"

random() { head -c 32 /dev/urandom | base64 | tr -d '\n'; }

keep() { # name: what stands on standard input becomes the file, whole or not at all
  cat > "$folder/.$1.new"
  [ -s "$folder/.$1.new" ]
  mv "$folder/.$1.new" "$folder/$1"
  echo "made  $1"
}

token() { # process, role
  if [ -s "$folder/token-$1" ] && [ "${renew:-}" = "" ]; then
    echo "kept  token-$1"
    return
  fi
  INTERTIE_DATA_DIR="$folder/identity" "$intertie" token issue \
    --role "$2" --subject "$1" --days "$days" < /dev/null > "$folder/.token"
  keep "token-$1" < "$folder/.token"
  rm "$folder/.token"
}

renew="$([ "${2:-}" = --renew-tokens ] && echo yes || true)"
if [ -s "$folder/database_password" ]; then echo "kept  database_password"; else random | keep database_password; fi
if [ -s "$folder/sealing_keys" ]; then
  echo "kept  sealing_keys"
else
  printf 'k%s:%s\n' "$(date -u +%Y%m%d%H%M%S)" "$(random)" | keep sealing_keys
fi
for process in registry ingest pull mapper audit gateway; do token "$process" "service:$process"; done
# It asks the services what they offer, and nothing else.
token envoy viewer
# What the pods know of the keys: the public ones, and what is refused. Run this again after each `intertie token revoke`.
keep jwks.json < "$folder/identity/keys/jwks.json"
if [ -e "$folder/identity/keys/revoked.json" ]; then
  keep revoked.json < "$folder/identity/keys/revoked.json"
else
  echo '{"tokens": {}, "keys": []}' | keep revoked.json
fi

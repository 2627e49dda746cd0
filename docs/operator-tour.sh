#!/bin/sh
# From a new Roomcast to a tenant with keys, limits, a room type and live traffic; then its keys are rotated and revoked,
# it is suspended, resumed, billed and deleted. Each step is a curl call that you can paste by itself.
#
# Start `roomcast serve` in another terminal first. `roomcast` and python3 must be on the PATH.
set -eu

URL=${URL:-http://127.0.0.1:8000}
API=$URL/v1
OPERATOR_TOKEN=${OPERATOR_TOKEN:-$(cat "${ROOMCAST_DATA_DIR:-.roomcast}/operator-token")}
TENANT=${TENANT:-tour}
WORK=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$WORK"' EXIT

step() { printf '\n== %s\n' "$*" >&2; }
as() { # as TOKEN METHOD PATH [BODY]: one request, its answer on stdout; ends the script unless it succeeds
  curl -sS --fail-with-body -w '\n' -X "$2" "$API$3" -H "Authorization: Bearer $1" ${4:+-H 'Content-Type: application/json' -d "$4"}
}
status() { # status TOKEN PATH: what a GET is answered with
  curl -sS -o "$WORK/answer" -w '%{http_code}' "$API$2" -H "Authorization: Bearer $1"
}
field() { # field NAME [NAME …]: one value of the JSON on stdin
  python3 -c 'import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1:]:
    value = value[int(name) if isinstance(value, list) else name]
print(value)' "$@"
}
until_is() { # until_is WANTED COMMAND …: most changes are in force on every node within 2 s; a deletion takes its time
  wanted=$1; shift
  for _ in $(seq 600); do
    [ "$("$@")" = "$wanted" ] && return
    sleep 0.1
  done
  echo "still not $wanted: $1" >&2; exit 1
}
listen() { # listen TOKEN FILE: a live socket in the room chat:1, its events in the file
  roomcast listen chat:1 --url "ws${URL#http}/v1/connect" --token "$1" >"$2" 2>"$2.error" &
  until_is 1 grep -c '"type":"joined"' "$2"
}

step "A tenant, with a signing key and an API key that are shown this once"
as "$OPERATOR_TOKEN" POST /tenants "{\"name\": \"$TENANT\", \"limits\": {\"max_connections\": 5000}}" >"$WORK/tenant"
MANAGER=$(field api_key <"$WORK/tenant")
OLD_KID=$(field signing_key kid <"$WORK/tenant")
echo "$TENANT has the signing key $OLD_KID"

step "Other limits, for all that is not set the defaults; null is no limit"
as "$OPERATOR_TOKEN" PATCH "/tenants/$TENANT" '{"limits": {"max_connections": 1000, "publishes_per_second": 200}}'

step "From here on the tenant's own servers: a second API key that can do less, for the part that publishes"
as "$MANAGER" POST /keys '{"name": "publisher", "scopes": ["publish", "read"]}' >"$WORK/key"
PUBLISHER=$(field api_key <"$WORK/key")
PUBLISHER_ID=$(field key_id <"$WORK/key")
echo "key $PUBLISHER_ID"

step "A room type: rooms chat:… keep 50 messages for an hour"
as "$MANAGER" PUT '/room-types/chat:*' '{"history_messages": 50, "history_seconds": 3600}'

step "Live traffic: alice listens, the tenant's server publishes"
GRANT='"rooms": {"chat:*": ["join", "publish", "history"]}'
listen "$(as "$MANAGER" POST /tokens "{\"user\": \"alice\", $GRANT}" | field token)" "$WORK/alice"
for text in one two three; do
  as "$PUBLISHER" POST /rooms/chat:1/messages "{\"name\": \"said\", \"data\": {\"text\": \"$text\"}}"
done
until_is 3 grep -c '"type":"message"' "$WORK/alice"
tail -n 1 "$WORK/alice"
as "$PUBLISHER" GET /counts

step "Rotation: a second signing key, good at once; new tokens are signed with it"
NEW_KID=$(as "$MANAGER" POST /signing-keys '{"algorithm": "HS256", "name": "second"}' | field kid)
listen "$(as "$MANAGER" POST /tokens "{\"user\": \"bob\", $GRANT}" | field token)" "$WORK/bob"
under() { # under KID: how many live connections the key let in
  as "$MANAGER" GET /signing-keys | python3 -c 'import json, sys
print({key["kid"]: key["connections"] for key in json.load(sys.stdin)["items"]}[sys.argv[1]])' "$1"
}
until_is 1 under "$OLD_KID"
until_is 1 under "$NEW_KID"
echo "one connection under each of $OLD_KID and $NEW_KID"

step "The old key is revoked: just alice's socket, which came with it, is closed with 4401"
as "$MANAGER" DELETE "/signing-keys/$OLD_KID"
until_is 1 grep -c '"code":4401' "$WORK/alice"
until_is 0 under "$OLD_KID"
as "$PUBLISHER" POST /rooms/chat:1/messages '{"data": "still here"}'
until_is 1 grep -c 'still here' "$WORK/bob"

step "The publisher's API key is revoked"
as "$MANAGER" DELETE "/keys/$PUBLISHER_ID"
until_is 401 status "$PUBLISHER" /counts
cat "$WORK/answer"; echo

step "Suspended: bob's socket is closed with 4403, keys and tokens are refused; then resumed"
as "$OPERATOR_TOKEN" POST "/tenants/$TENANT/suspend"
until_is 1 grep -c '"code":4403' "$WORK/bob"
until_is 403 status "$MANAGER" /counts
as "$OPERATOR_TOKEN" POST "/tenants/$TENANT/resume"
until_is 200 status "$MANAGER" /counts

step "What the tenant used in this hour, as JSON and as CSV"
as "$OPERATOR_TOKEN" GET "/tenants/$TENANT/usage?unit=hour"
curl -sS --fail-with-body "$API/tenants/$TENANT/usage?unit=hour" -H "Authorization: Bearer $OPERATOR_TOKEN" -H 'Accept: text/csv'

step "Who changed what"
as "$OPERATOR_TOKEN" GET "/tenants/$TENANT/audit?limit=3"

step "Good-bye: deleted, and the name is free at once"
as "$OPERATOR_TOKEN" DELETE "/tenants/$TENANT"
until_is 404 status "$OPERATOR_TOKEN" "/tenants/$TENANT"

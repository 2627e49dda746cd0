#!/usr/bin/env bash
# Generates a client in Go and one in Java from a live node's documents, compiles both, and runs a program on each.
# Wants ROOMCAST_ADDRESS, ROOMCAST_API_KEY and ROOMCAST_TOKEN; `go` and `java` as arguments run one alone.
set -euo pipefail
cd "$(dirname "$0")"

run_go() {
  cd go
  mkdir -p roomcast
  curl -fsS "$ROOMCAST_ADDRESS/schema/openapi-3.0.json" -o roomcast/openapi.json
  go tool oapi-codegen -config oapi-codegen.yaml roomcast/openapi.json
  go run .
}

run_java() {
  cd java
  mkdir -p target
  curl -fsS "$ROOMCAST_ADDRESS/schema/openapi.json" -o target/openapi.json
  mvn -q -B compile exec:java
}

for language in "${@:-go java}"; do
  for each in $language; do
    (run_"$each")
  done
done

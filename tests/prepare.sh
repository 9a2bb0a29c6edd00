#!/bin/sh
# Fetches what the tests need beyond the Python environment given as $1. Run it from the project's root. Each part may be missing: its tests skip then.
set -u
venv=$1
here=$(dirname "$0")

# A ClickHouse server node, out of the library that npm ships (see tests/store/README.md).
node_dir=$here/store/node
if command -v npm >/dev/null && [ ! -e "$node_dir/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so" ]; then
  npm ci --prefix "$node_dir" --silent --no-audit --no-fund || echo "prepare: no ClickHouse node; its tests are skipped"
fi

# The real agent SDKs, in environments of their own since they pin each other's versions, and the AI SDK of Node.
for group in clients clients-pinned node; do
  "$venv/bin/python" -m tests.clients.install_clients "$group" ||
    echo "prepare: $group could not be installed; its tests are skipped"
done

exit 0

#!/bin/sh
# Fetches what the tests need beyond the Python environment given as $1. Each part may be missing: its tests skip then.
set -u
venv=$1
here=$(dirname "$0")

# A ClickHouse server node, out of the library that npm ships (see tests/store/README.md).
node_dir=$here/store/node
if command -v npm >/dev/null && [ ! -e "$node_dir/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so" ]; then
  npm ci --prefix "$node_dir" --silent --no-audit --no-fund || echo "prepare: no ClickHouse node; its tests are skipped"
fi

# The Vercel AI SDK agent.
vercel_dir=$here/clients/agents/vercel
if command -v npm >/dev/null && [ -e "$vercel_dir/package-lock.json" ] && [ ! -d "$vercel_dir/node_modules" ]; then
  npm ci --prefix "$vercel_dir" --silent --no-audit --no-fund || echo "prepare: no AI SDK; its tests are skipped"
fi

exit 0

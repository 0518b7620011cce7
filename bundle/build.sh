#!/bin/sh
# Makes the one file of the scatter plot that `twinvec serve` ships, and the licences of what is in it.
# Whoever installs Twinvec does not need this; run it after a change of package.json, and commit what it writes.
set -eu
cd "$(dirname "$0")"
static=../platform/twinvec/serving/explore/static
npm ci --ignore-scripts --no-audit --no-fund
node_modules/.bin/esbuild entry.js --bundle --minify --format=esm --target=es2022 --legal-comments=none \
    --outfile="$static/scatterplot.js"
: > "$static/scatterplot.LICENSES.txt"
for folder in node_modules/* node_modules/@flekschas/*; do
    case "$folder" in */esbuild | */@esbuild | */@flekschas) continue ;; esac
    name=$(node -p "const p = require('./$folder/package.json'); p.name + ' ' + p.version + ', ' + p.license")
    {
        echo "$name"
        echo
        cat "$folder"/[Ll][Ii][Cc][Ee][Nn][SsCc]* 2>/dev/null || echo "(the package ships no licence file)"
        printf '\n----\n\n'
    } >> "$static/scatterplot.LICENSES.txt"
done

#!/bin/sh
# A sweep by GNU parallel: sh src/scale/recipes/gnu-parallel.sh DIR [JOBS]   (in the checkout; more hosts: PARALLEL='--sshloginfile FILE')
# A job that ends with 75, or by a signal (above 128), is tried again, three times in all; whatever is done already ends at once.
# RUN_FLAGS: e.g. --software. Not by npm, which would end before the engine does.
dir=$1
last=$(node -p 'JSON.parse(fs.readFileSync(process.argv[1] + "/plan.json")).jobs.length - 1' "$dir")
attempt='for n in 1 2 3; do node src/setup.mjs quantize sweep run "$0" --index "$1" $2 > /dev/null; code=$?; [ $code -eq 75 ] || [ $code -gt 128 ] || exit $code; done; exit $code'
[ -t 2 ] && bar=--bar || bar=
seq 0 "$last" | parallel --jobs "${2:-1}" --joblog "$dir/parallel.log" $bar sh -c "'$attempt'" "$dir" {} "'${RUN_FLAGS:-}'"
failed=$?
npm run --silent quantize -- sweep report "$dir"
exit $failed

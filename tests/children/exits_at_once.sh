#!/bin/sh
# Ends before it has read anything, as with a broken configuration.
echo "no such database" >&2
exit 1

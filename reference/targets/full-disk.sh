#!/bin/sh
# Fill the small file system at FOLDER, or make room again:  full-disk.sh inject|heal FOLDER
case $1 in
inject)
    mountpoint -q "$2" || { echo "$2 is no file system of its own: mounting one needs root"; exit 1; }
    cat /dev/zero >"$2/filler" 2>/dev/null
    true
    ;;
heal) rm -f "$2/filler" ;;
esac

#!/bin/sh
# Use up every inode of the file system of the uploads, or free them:  no-inodes.sh inject|heal
crowd=$STAGE/files/crowd
case $1 in
inject)
    mountpoint -q "$STAGE/files" || { echo "$STAGE/files is no file system of its own: needs root"; exit 1; }
    mkdir "$crowd" && python3 - "$crowd" <<'FILL'
import itertools, pathlib, sys
try:
    for number in itertools.count():
        (pathlib.Path(sys.argv[1]) / str(number)).touch()
except OSError as full:
    print(full)
FILL
    ;;
heal) rm -rf "$crowd" ;;
esac

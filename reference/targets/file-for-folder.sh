#!/bin/sh
# Swap the folder of the uploads for a file, or put it back:  file-for-folder.sh inject|heal
uploads=$STAGE/files/uploads
case $1 in
inject) mv "$uploads" "$uploads.aside" && touch "$uploads" ;;
heal) [ ! -d "$uploads.aside" ] || { rm -f "$uploads" && mv "$uploads.aside" "$uploads"; } ;;
esac

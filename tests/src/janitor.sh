# Removes a scratch folder, and the control groups of its name, as soon as its owner has ended, however it ended:
# standard input closes then. Arguments: the folder, its name.
cat >/dev/null
groups() { find /sys/fs/cgroup -depth -type d \( -name "$name" -o -path "*/$name/*" \) 2>/dev/null; }
folder=$1 name=$2 tries=0
# The owner's processes are dying at the same time, so the first tries may find the folder in use.
while [ "$tries" -lt 150 ]; do
  groups | while read -r group; do rmdir "$group" 2>/dev/null; done
  rm -rf -- "$folder" 2>/dev/null
  if [ ! -e "$folder" ] && [ -z "$(groups)" ]; then exit 0; fi
  sleep 0.1
  tries=$((tries + 1))
done
